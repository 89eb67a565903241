"""User code in processes of its own, kept warm.

`hosts.py` is the door for scripts: a pool of hosts, each bound to one version. `host.py` is one of them seen from
the worker, through `channel.py`; `zygote.py` the small preloaded process that they are forked from.
`commands.py` is the door for commands of other programs, each in a process that watches over that one.
What runs over there is `zygote_main.py`, `host_main.py`, `shell_main.py`, `output.py`, `traces.py`, `limits.py`
and `frames.py`: these import the standard library only, since they run without the worker's packages.

What a host keeps between two calls of its version: the modules and their globals, `os.environ`, `sys`.
What it does not keep: files in its temporary folder (which is HOME, TMPDIR and the current folder),
threads and child processes: a host that has some left after a call is ended, with everything it started.
What a child process writes is no log line.

Hosts guard against mistakes, not against malice: a script runs as the worker's user.
"""
