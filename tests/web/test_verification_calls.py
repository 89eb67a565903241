"""Every provider's signed call is verified, and none of a thousand that were changed in any of its parts."""

from __future__ import annotations

import asyncio
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from urllib.parse import parse_qsl

import pytest
from answering_issuers import answering
from signed_calls import EXAMPLES, Example

from schemas.verification import Provider
from web.verification.call import SignedCall, Unverified
from web.verification.issuers import Issuers
from web.verification.jwks import Keys
from web.verification.verifier import Verifier, verify

CHANGES = 1000


@dataclass(frozen=True, kw_only=True)
class Changed:
    secrets: tuple[str, ...]
    call: SignedCall
    now: float


def of(example: Example) -> Changed:
    return Changed(secrets=example.secrets, call=example.call, now=example.now)


def judge_all(example: Example, cases: list[Changed]) -> list[Unverified | None]:
    """What is said of each, in the order of the cases."""
    if example.jwks is not None:
        return asyncio.run(_judge_by_issuer(example, cases))
    verifiers = {secrets: Verifier(example.verify, secrets) for secrets in {case.secrets for case in cases}}
    return [_judge(verifiers[case.secrets], case) for case in cases]


def _judge(verifier: Verifier, case: Changed) -> Unverified | None:
    try:
        verifier.check(case.call, case.now)
    except Unverified as unverified:
        return unverified
    return None


async def _judge_by_issuer(example: Example, cases: list[Changed]) -> list[Unverified | None]:
    assert example.jwks is not None
    issuer = answering(example.rule["issuer"], example.jwks)
    keys, verifier = Keys(Issuers(issuer)), Verifier(example.verify, example.secrets)
    said: list[Unverified | None] = []
    for case in cases:
        try:
            await verifier.check_by_issuer(case.call, case.now, keys)
            said.append(None)
        except Unverified as unverified:
            said.append(unverified)
    assert len(issuer.asked) <= 2, "forged tokens make nobody hammer the issuer"
    keys.close()
    return said


# What a change may put in. Blanks and commas are left out: between signatures of a list they mean nothing.
LETTERS = string.ascii_letters + string.digits + "+/=-_.:;!\x7f\xe9"


def in_text(text: str, chance: random.Random) -> str:
    at, letter = chance.randrange(len(text)), chance.choice(LETTERS)
    kind = chance.randrange(5)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + letter + text[at:]
    if kind == 2:
        return text[:at]
    return text[:at] + letter + text[at + 1 :]


def in_bytes(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    kind = chance.randrange(5)
    if kind == 0:
        return content[:at] + content[at + 1 :]
    if kind == 1:
        return content[:at] + chance.randbytes(chance.randint(1, 3)) + content[at:]
    if kind == 2:
        return content[:at]
    if kind == 3:
        return content + chance.randbytes(1)
    return content[:at] + bytes([content[at] ^ chance.randint(1, 255)]) + content[at + 1 :]


def header_changed(example: Example, chance: random.Random) -> Changed:
    name = chance.choice(example.signs)
    headers = dict(example.headers) | {name: in_text(example.headers[name], chance)}
    raw = [(one.encode(), value.encode("latin-1")) for one, value in headers.items()]
    return replace(of(example), call=example.call._replace(headers=raw))


def header_gone_or_twice(example: Example, chance: random.Random) -> Changed:
    name = chance.choice(example.signs).encode()
    rest = [pair for pair in example.call.headers if pair[0] != name]
    (mine,) = [pair for pair in example.call.headers if pair[0] == name]
    other = (name, bytes(chance.sample(mine[1], len(mine[1]))))
    headers = chance.choice([rest, [*rest, mine, mine], [mine, *rest, other], [other, *rest, mine]])
    return replace(of(example), call=example.call._replace(headers=headers))


def secret_changed(example: Example, chance: random.Random) -> Changed:
    secret = in_text(example.secrets[0], chance)
    if secret == example.secrets[0]:
        return of(example)
    return replace(of(example), secrets=chance.choice([(secret,), (secret, "another"), (), ("",)]))


def body_changed(example: Example, chance: random.Random) -> Changed:
    return replace(of(example), call=example.call._replace(body=in_bytes(example.body, chance)))


def url_changed(example: Example, chance: random.Random) -> Changed:
    url = in_text(example.urls[0], chance)
    return replace(of(example), call=example.call._replace(urls=(url,)))


def long_after(example: Example, chance: random.Random) -> Changed:
    return replace(of(example), now=example.now + chance.uniform(700, 1e9))


def long_before(example: Example, chance: random.Random) -> Changed:
    return replace(of(example), now=example.now - chance.uniform(700, 1e9))


def changes(example: Example) -> Iterator[Changed]:
    """Without end. Those that mean the same as the original are left out."""
    chance = random.Random(20261121)
    ways: list[Callable[[Example, random.Random], Changed]] = [header_changed, header_gone_or_twice]
    ways += [body_changed, body_changed] if example.signs_body else []
    ways += [secret_changed] if example.secrets else []
    ways += [url_changed] if example.rule["provider"] == "twilio" else []
    timed = len(example.signs) > 1 or example.rule["provider"] in ("stripe", "jwt")
    ways += [long_after] if timed else []
    ways += (
        [long_before] if timed and "joe" not in example.rule.values() else []
    )  # joe's do not say from when
    while True:
        changed = chance.choice(ways)(example, chance)
        if meaning(changed) != meaning(of(example)):
            yield changed


def meaning(case: Changed) -> object:
    """Capitals of a scheme or in hex, padding, ports and the spelling of a form's field mean nothing."""
    call = case.call
    form = parse_qsl(call.body.decode("latin-1"), keep_blank_values=True, strict_parsing=False)
    headers = sorted((name, value.lower().rstrip(b"=")) for name, value in call.headers)
    is_form = any(value.startswith(b"application/x-www-form") for _, value in call.headers)
    body = sorted(set(form)) if is_form and b"x-twilio-signature" in dict(call.headers) else call.body
    return case.secrets, headers, body, call.urls, case.now


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_signed_call_is_verified(name: str) -> None:
    assert judge_all(EXAMPLES[name], [of(EXAMPLES[name])]) == [None]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_thousand_changed_calls_are_refused(name: str) -> None:
    example = EXAMPLES[name]
    cases = list(islice(changes(example), CHANGES))
    said = judge_all(example, cases)
    assert [case for case, one in zip(cases, said, strict=True) if one is None] == []
    # A message goes to whoever called: nothing of the secret, nor of what would have been right.
    told = " ".join(one.detail for one in said if one is not None)
    for value in (*example.secrets, *(example.headers[header] for header in example.signs)):
        assert value[-10:] not in told


def test_every_provider_has_an_example() -> None:
    assert {example.rule["provider"] for example in EXAMPLES.values()} == {str(one) for one in Provider}


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if example.secrets])
def test_while_the_secret_changes_either_is_right(name: str) -> None:
    example = EXAMPLES[name]
    own = example.secrets[0]
    for secrets in (("another", own), (own, "another"), ("", own)):
        verify(example.verify, secrets, example.call, example.now)


@pytest.mark.parametrize("name", EXAMPLES)
def test_without_a_secret_nobody_is_verified(name: str) -> None:
    example = EXAMPLES[name]
    for secrets in ((), ("",), ("", ""), (" ",), ("\n", "\t")):
        with pytest.raises(Unverified, match="No secret is set"):
            verify(example.verify, secrets, example.call, example.now)


@pytest.mark.parametrize("name", EXAMPLES)
def test_methods_that_are_left_out_are_not_verified(name: str) -> None:
    example = EXAMPLES[name]
    rule = replace(example.verify, methods=("POST", "PUT"))
    challenge = SignedCall("GET", (), [], b"")
    verify(rule, example.secrets, challenge, example.now)
    with pytest.raises(Unverified):
        verify(rule, example.secrets, challenge._replace(method="PUT"), example.now)
