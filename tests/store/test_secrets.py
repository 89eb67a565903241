"""Stored secrets come back, only where they belong and with the right key; changes are seen at once."""

import threading
import time
from collections.abc import Iterator

import pytest

from store.database import SECRETS_CHANGED, Database, connect
from store.notifications import Listener
from store.secrets import SecretBook, SecretMissing, SecretPlaces, SecretUnreadable
from store.secrets.sealing import SealBroken, Sealer, new_key, seal, unseal
from store.secrets.stored import StoredSecrets

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


@pytest.fixture
def stored(database: Database) -> StoredSecrets:
    return StoredSecrets(database, KEY)


@pytest.fixture
def book(database: Database) -> Iterator[SecretBook]:
    book = SecretPlaces(installation_key=KEY).open(database)
    yield book
    book.close()


def test_a_seal_opens_with_its_key_in_its_place_and_with_all_its_bytes_alone() -> None:
    key = new_key()
    sealed = seal(key, b"hunter2", "acme", "production", "TOKEN")
    assert unseal(key, sealed, "acme", "production", "TOKEN") == b"hunter2"
    places = [("acme", "production", "OTHER"), ("acm", "eproduction", "TOKEN"), ("acme", "productionTOKEN")]
    for place in places:
        with pytest.raises(SealBroken):
            unseal(key, sealed, *place)
    with pytest.raises(SealBroken):
        unseal(new_key(), sealed, "acme", "production", "TOKEN")
    for at in range(len(sealed)):
        changed = bytes(byte ^ (at == place) for place, byte in enumerate(sealed))
        with pytest.raises(SealBroken):
            unseal(key, changed, "acme", "production", "TOKEN")
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            unseal(key, sealed[:length], "acme", "production", "TOKEN")


def test_the_same_value_is_never_encrypted_alike() -> None:
    key = new_key()
    assert len({seal(key, b"hunter2", "TOKEN") for _ in range(100)}) == 100


def test_what_is_derived_from_an_installation_key_tells_nothing_of_it() -> None:
    one, other = Sealer.of(KEY), Sealer.of(OTHER_KEY)
    assert one == Sealer.of(KEY)
    assert {one.name, one.key.hex()}.isdisjoint({other.name, other.key.hex()})
    assert KEY.hex() not in repr(one)
    assert one.key.hex() not in repr(one)


def test_an_environment_has_its_own_secret_before_that_of_all(stored: StoredSecrets, book: SecretBook) -> None:
    stored.put("default", "", "TOKEN", "everywhere", by="ada")
    stored.put("default", "production", "TOKEN", "in production", by="ada")
    assert book.get("default", "production", "TOKEN") == "in production"
    assert book.get("default", "staging", "TOKEN") == "everywhere"


def test_nobody_gets_the_secret_of_another_organisation(stored: StoredSecrets, book: SecretBook) -> None:
    stored.put("acme", "", "TOKEN", "acme's", by="ada")
    with pytest.raises(SecretMissing) as missing:
        book.get("default", "production", "TOKEN")
    assert "WEFT_SECRET_TOKEN" in str(missing.value)
    with pytest.raises(SecretMissing) as missing:
        book.get("other", "production", "TOKEN")
    assert "WEFT_SECRET" not in str(missing.value)


@pytest.mark.usefixtures("stored")
def test_any_text_comes_back_as_it_was(stored: StoredSecrets, book: SecretBook) -> None:
    for value in ("x", " \n", "naïve 🔑", "\0", "-----BEGIN KEY-----\nab\n-----END KEY-----\n", "y" * 65_536):
        stored.put("default", "", "TOKEN", value, by="ada")
        book.forget()
        assert book.get("default", "production", "TOKEN") == value
