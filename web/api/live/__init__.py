"""A run as it happens, for any number of followers: Server-Sent Events.

`feeds.py` has a feed for each run that somebody follows; `feed.py` reads what is new of it, once for all of its
followers; `telling.py` makes it events; `cursor.py` knows how far one follower is; `stream.py` sends.
"""
