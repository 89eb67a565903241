"""What httpx needs even where all that is asked is http://. By itself it reads all authorities, for each client
anew, which takes longer than most tests.
"""

import ssl

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody."""
