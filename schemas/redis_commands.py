"""Which commands a `redis` node sends. Connections are kept and shared, and the server is not ours to run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schemas.pattern import JSON

_HINTS: Final = {
    "KEYS": "It holds up the whole server: write [SCAN, 0, MATCH, pattern], and go on with its cursor.",
    "SELECT": "Name the database in the connection's `url`: redis://host:6379/1.",
    "AUTH": "Give `user` and `password` in the connection.",
    "HELLO": "Give `user` and `password` in the connection.",
    "MULTI": "Write what belongs together as one EVAL.",
    "EXEC": "Write what belongs together as one EVAL.",
    "FLUSHALL": "It empties every database; [FLUSHDB] empties the one of the connection.",
}

_OF_A_SESSION: Final = "it changes a connection that other nodes use after it"
_ENDLESS: Final = "it does not end with an answer"
_OF_THE_SERVER: Final = "it is for whoever runs the server"

_REFUSED: Final = {
    **dict.fromkeys(
        ("AUTH", "HELLO", "SELECT", "MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "CLIENT", "RESET", "QUIT",
         "ASKING", "READONLY", "READWRITE"), _OF_A_SESSION),
    **dict.fromkeys(
        ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "MONITOR", "SYNC",
         "PSYNC", "REPLCONF"), _ENDLESS),
    **dict.fromkeys(
        ("SHUTDOWN", "CONFIG", "SCRIPT", "MODULE", "FUNCTION", "DEBUG", "ACL", "CLUSTER", "FAILOVER", "REPLICAOF",
         "SLAVEOF", "SAVE", "BGSAVE", "BGREWRITEAOF", "MIGRATE", "RESTORE", "RESTORE-ASKING", "SWAPDB", "FLUSHALL",
         "LATENCY", "SLOWLOG", "MEMORY", "COMMANDLOG", "PFDEBUG", "PFSELFTEST"), _OF_THE_SERVER),
    "KEYS": "it reads every key that there is at once",
}  # fmt: skip

_TIMEOUT_LAST: Final = frozenset(
    ("BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BZPOPMIN", "BZPOPMAX", "WAIT", "WAITAOF")
)
_TIMEOUT_FIRST: Final = frozenset(("BLMPOP", "BZMPOP"))
_MAY_BLOCK: Final = frozenset(("XREAD", "XREADGROUP"))

_READS: Final = frozenset(
    """
    BITCOUNT BITFIELD_RO BITPOS DBSIZE DUMP ECHO EVALSHA_RO EVAL_RO EXISTS EXPIRETIME FCALL_RO GEODIST
    GEOHASH GEOPOS GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETRANGE HEXISTS HGET HGETALL
    HKEYS HLEN HMGET HRANDFIELD HSCAN HSTRLEN HVALS INFO LCS LINDEX LLEN LOLWUT LPOS LRANGE MGET OBJECT
    PEXPIRETIME PFCOUNT PING PTTL RANDOMKEY SCAN SCARD SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS SMISMEMBER
    SORT_RO SRANDMEMBER SSCAN STRLEN SUBSTR SUNION TIME TOUCH TTL TYPE XINFO XLEN XPENDING XRANGE XREVRANGE
    ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE
    ZRANK ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION
    """.split()  # noqa: SIM905 - ninety quoted words are no better to read
)
_ONCE_ONLY: Final = frozenset(("NX", "XX", "GET", "IFEQ", "IFNE"))


def refusal(command: Sequence[JSON]) -> tuple[str, str] | None:
    """Why a command is not sent, and what to do; None for one that is. What is no text is not looked at."""
    words = [one.upper() if isinstance(one, str) else one for one in command]
    name = words[0] if words else ""
    if name in _REFUSED:
        hint = _HINTS.get(str(name), "Use redis-cli, or a connection of your own, for that.")
        return f"{name} is not sent: {_REFUSED[str(name)]}", hint
    if _without_end(words):
        return (
            f"{name} would wait without end",
            "Give it a time, in seconds, of more than 0 (BLOCK: milliseconds).",
        )
    return None


def may_repeat(command: Sequence[JSON]) -> bool:
    """Whether doing it twice is the same, answer and all."""
    words = [one.upper() if isinstance(one, str) else one for one in command]
    name = words[0] if words else ""
    if name == "SET":
        return not _ONCE_ONLY.intersection(one for one in words[3:] if isinstance(one, str))
    return name in _READS or name == "MSET"


def _without_end(words: Sequence[JSON]) -> bool:
    name, time = words[0] if words else "", "1"
    if name in _TIMEOUT_LAST:
        time = words[-1]
    elif name in _TIMEOUT_FIRST and len(words) > 1:
        time = words[1]
    elif name in _MAY_BLOCK:
        options = words[: words.index("STREAMS")] if "STREAMS" in words else words
        time = options[options.index("BLOCK") + 1] if "BLOCK" in options[:-1] else "1"
    try:
        return float(time) <= 0
    except (TypeError, ValueError):
        return False  # the server says what is wrong with it
