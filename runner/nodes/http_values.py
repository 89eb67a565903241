"""What the inputs of an `http` node are made of. Each function raises ValueError, which quotes no secret."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from schemas.pattern import JSON


def text_of(what: str, value: JSON) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(f"{what} must be text or a number, not {type(value).__name__}")


def mapping_of(what: str, value: JSON, keys: Collection[str] | None = None) -> Mapping[str, JSON]:
    """With no other keys than `keys`, where these are given."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a mapping")  # noqa: TRY004 - it is what the user wrote that is wrong
    for key in value:
        if keys is not None and key not in keys:
            raise ValueError(f"{what} takes no {key[:100]!r}, only {', '.join(keys)}")
    return value


def one_of(what: str, given: Mapping[str, JSON], keys: Collection[str]) -> str | None:
    """The one of `keys` that is given, if any."""
    found = [key for key in keys if given.get(key) is not None or (key == "json" and key in given)]
    if len(found) > 1:
        raise ValueError(f"{what} takes only one of `{found[0]}` and `{found[1]}`")
    return found[0] if found else None


def pairs_of(what: str, value: JSON) -> Iterator[tuple[str, JSON]]:
    """Null leaves a key out; a list repeats it."""
    for key, given in mapping_of(f"`{what}`", value).items():
        for item in given if isinstance(given, list) else [given]:
            if item is not None:
                yield key, item


def text_pairs_of(what: str, value: JSON) -> list[tuple[str, str]]:
    return [(key, text_of(f"{key[:100]!r} in `{what}`", item)) for key, item in pairs_of(what, value)]


def needed_text(what: str, value: JSON) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what} must be text that is not empty")
    return value


def flag_of(what: str, value: JSON) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{what} must be true or false")  # noqa: TRY004 - see above
    return value
