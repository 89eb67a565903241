"""Stored secrets come back, only where they belong and with the right key; changes are seen at once."""

import threading
import time
from collections.abc import Iterator

import pytest

from store.database import SECRETS_CHANGED, Database, connect
from store.notifications import Listener
from store.secrets import SecretBook, SecretMissing, SecretPlaces, SecretsUnavailable, SecretUnreadable
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


def test_what_is_derived_from_a_key_tells_nothing_of_it() -> None:
    one, other = Sealer.of(KEY), Sealer.of(OTHER_KEY)
    assert one == Sealer.of(KEY)
    assert {one.name, one.key.hex()}.isdisjoint({other.name, other.key.hex()})
    assert KEY.hex() not in repr(one)
    assert one.key.hex() not in repr(one)


def test_an_environment_has_its_own_secret_before_that_of_all(
    stored: StoredSecrets, book: SecretBook
) -> None:
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


def test_a_changed_row_is_told_as_such_and_hides_no_other(
    database: Database, stored: StoredSecrets, book: SecretBook
) -> None:
    stored.put("default", "", "TOKEN", "hunter2", by="ada")
    stored.put("default", "", "OTHER", "fine", by="ada")
    with database.connection() as connection:
        connection.execute(
            "UPDATE secrets SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1) WHERE name = 'TOKEN'"
        )
    with pytest.raises(SecretUnreadable, match=r"TOKEN .* weft secret set TOKEN$"):
        book.get("default", "production", "TOKEN")
    assert book.get("default", "production", "OTHER") == "fine"
    assert [str(error) for error in stored.unreadable()] == [
        "The stored secret TOKEN (for all environments, organisation default) cannot be decrypted: its row was"
        " changed in the database, or belongs elsewhere. Set it again: weft secret set TOKEN"
    ]
    stored.put("default", "", "TOKEN", "hunter3", by="ada")
    book.forget()
    assert book.get("default", "production", "TOKEN") == "hunter3"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("default", "", "ONE"), ("default", "", "OTHER")),
        (("default", "production", "ONE"), ("default", "staging", "ONE")),
        (("default", "", "ONE"), ("default", "production", "ONE")),
    ],
)
def test_rows_that_changed_places_open_in_neither(
    database: Database,
    stored: StoredSecrets,
    one: tuple[str, str, str],
    other: tuple[str, str, str],
) -> None:
    stored.put(*one, "first", by="ada")
    stored.put(*other, "second", by="ada")
    with database.connection() as connection:
        connection.execute(
            """UPDATE secrets s SET sealed = o.sealed FROM secrets o
               WHERE (s.environment, s.name) <> (o.environment, o.name)"""
        )
    for organisation, environment, name in (one, other):
        with pytest.raises(SecretUnreadable, match="belongs elsewhere"):
            stored.find(organisation, environment, name)


def test_a_row_that_was_moved_to_another_organisation_with_its_key_opens_nowhere(
    database: Database, stored: StoredSecrets
) -> None:
    stored.put("acme", "", "TOKEN", "acme's", by="ada")
    with database.connection() as connection:
        connection.execute("UPDATE secrets SET organisation = 'default'")
        with pytest.raises(SecretUnreadable, match="the key that it was encrypted with is not there"):
            stored.find("default", "", "TOKEN")
        connection.execute("UPDATE secret_keys SET organisation = 'default'")
    with pytest.raises(SecretUnreadable, match="table secret_keys"):
        stored.find("default", "", "TOKEN")


def test_another_key_says_which_one_is_wanted(database: Database, stored: StoredSecrets) -> None:
    stored.put("default", "", "TOKEN", "hunter2", by="ada")
    other = StoredSecrets(database, OTHER_KEY)
    with pytest.raises(SecretUnreadable, match="WEFT_SECRETS_KEY_OLD"):
        other.find("default", "", "TOKEN")
    with pytest.raises(SecretUnreadable):
        other.put("default", "", "MORE", "hunter3", by="ada")
    with pytest.raises(SecretUnreadable):
        other.rotate("default")
    assert stored.find("default", "", "TOKEN") == "hunter2"
    assert [one.name for one in stored.names("default")] == ["TOKEN"]


def test_a_key_is_changed_in_three_steps(database: Database, stored: StoredSecrets) -> None:
    stored.put("default", "", "TOKEN", "hunter2", by="ada")
    stored.put("acme", "", "TOKEN", "acme's", by="ada")
    both = StoredSecrets(database, OTHER_KEY, [KEY])
    assert both.find("default", "", "TOKEN") == "hunter2"
    assert both.under_old_keys() == ["acme", "default"]
    assert both.rotate("default") == (1, ("acme", "default"))
    assert both.under_old_keys() == []
    new = StoredSecrets(database, OTHER_KEY)
    assert new.find("default", "", "TOKEN") == "hunter2"
    assert new.find("acme", "", "TOKEN") == "acme's"
    with pytest.raises(SecretUnreadable):
        stored.find("default", "", "TOKEN")


def test_rotating_leaves_no_byte_of_what_was_encrypted_before(
    database: Database, stored: StoredSecrets
) -> None:
    for number in range(20):
        stored.put("default", "", f"TOKEN_{number}", f"value {number}", by="ada")
    everything = """SELECT array_agg(encode(sealed, 'hex'))
        FROM (SELECT sealed FROM secrets UNION ALL SELECT sealed FROM secret_keys) AS s"""
    with database.connection() as connection:
        before = connection.execute(everything.encode()).fetchone()
        stored.rotate("default")
        after = connection.execute(everything.encode()).fetchone()
    assert before is not None
    assert after is not None
    assert set(before[0]).isdisjoint(after[0])
    assert [stored.find("default", "", f"TOKEN_{n}") for n in range(20)] == [f"value {n}" for n in range(20)]
    assert {(one.version, one.updated_by) for one in stored.names("default")} == {(1, "ada")}


def test_a_damaged_secret_stops_a_rotation_before_it_changes_anything(
    database: Database, stored: StoredSecrets
) -> None:
    stored.put("default", "", "FINE", "hunter2", by="ada")
    stored.put("default", "", "HURT", "hunter3", by="ada")
    with database.connection() as connection:
        connection.execute("UPDATE secrets SET sealed = '\\x00' WHERE name = 'HURT'")
    with pytest.raises(SecretUnreadable, match="HURT"):
        stored.rotate("default")
    assert stored.find("default", "", "FINE") == "hunter2"


def test_readers_and_writers_see_no_gap_while_keys_are_rotated(
    database: Database, stored: StoredSecrets
) -> None:
    names = [f"TOKEN_{number}" for number in range(50)]
    for name in names:
        stored.put("default", "", name, name.lower(), by="ada")
    stop, wrong = threading.Event(), []
    reads = [0, 0, 0]

    def read(mine: int) -> None:
        try:
            while not stop.is_set():
                for name in names:
                    value = stored.find("default", "production", name)
                    if value != name.lower():
                        wrong.append((name, value))
                    reads[mine] += 1
        except SecretUnreadable as error:
            wrong.append(("unreadable", str(error)))

    def write() -> None:
        try:
            number = 0
            while not stop.is_set():
                number += 1
                stored.put("default", "", f"NEW_{number}", f"new {number}", by="grace")
        except SecretUnreadable as error:
            wrong.append(("unwritable", str(error)))

    threads = [threading.Thread(target=read, args=[n]) for n in range(2)] + [threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        stored.rotate("default")
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert min(reads[:2]) > 100
    new = [one.name for one in stored.names("default") if one.name.startswith("NEW_")]
    assert new
    assert {stored.find("default", "", name) for name in new} == {f"new {name[4:]}" for name in new}


def test_two_first_writers_agree_on_one_key(stored: StoredSecrets, database: Database) -> None:
    together = threading.Barrier(4)

    def write(number: int) -> None:
        together.wait(5)
        stored.put("acme", "", f"TOKEN_{number}", f"value {number}", by="ada")

    threads = [threading.Thread(target=write, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [stored.find("acme", "", f"TOKEN_{n}") for n in range(4)] == [f"value {n}" for n in range(4)]


@pytest.fixture
def listening(database: Database, book: SecretBook) -> Iterator[SecretBook]:
    listener = Listener(database, {SECRETS_CHANGED: book.changed}, book.forget)
    listener.start()
    assert listener.connected.wait(5)
    yield book
    listener.stop()


def test_a_change_by_another_process_is_in_effect_within_a_second(
    database_url: str, listening: SecretBook
) -> None:
    elsewhere = Database(database_url, connections=1)
    stored = StoredSecrets(elsewhere, KEY)
    stored.put("default", "", "TOKEN", "0", by="ada")
    for number in range(1, 11):
        assert listening.get("default", "production", "TOKEN") == str(number - 1)
        stored.put("default", "", "TOKEN", str(number), by="ada")
        deadline = time.monotonic() + 1
        while listening.remembered("default", "production", "TOKEN") is not None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
    stored.delete("default", "", "TOKEN")
    deadline = time.monotonic() + 1
    while listening.remembered("default", "production", "TOKEN") is not None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    with pytest.raises(SecretMissing):
        listening.get("default", "production", "TOKEN")
    elsewhere.close()


def test_what_is_remembered_costs_no_question(
    database: Database, stored: StoredSecrets, book: SecretBook
) -> None:
    stored.put("default", "", "TOKEN", "hunter2", by="ada")
    assert book.get("default", "production", "TOKEN") == "hunter2"
    with database.connection() as connection:
        connection.execute("DELETE FROM secrets")  # and nobody is told
    assert book.get("default", "production", "TOKEN") == "hunter2"
    book.changed("acme")
    assert book.get("default", "production", "TOKEN") == "hunter2"
    book.changed("default")
    with pytest.raises(SecretMissing):
        book.get("default", "production", "TOKEN")


def test_what_nobody_tells_about_is_forgotten_after_a_while(
    database: Database, stored: StoredSecrets, book: SecretBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.secrets.book.STORED_SECONDS", 0.05)
    stored.put("default", "", "TOKEN", "hunter2", by="ada")
    assert book.get("default", "production", "TOKEN") == "hunter2"
    with database.connection() as connection:
        connection.execute("DELETE FROM secrets")
    time.sleep(0.06)
    with pytest.raises(SecretMissing):
        book.get("default", "production", "TOKEN")


def test_one_that_is_missing_is_not_asked_for_at_every_call(
    database: Database, stored: StoredSecrets, listening: SecretBook
) -> None:
    with pytest.raises(SecretMissing) as missing:
        listening.get("default", "production", "TOKEN")
    sealed = seal(new_key(), b"x", "x")
    with database.connection() as connection:  # and nobody is told
        connection.execute(
            """INSERT INTO secrets (organisation, environment, name, key_id, sealed, updated_by)
               VALUES ('default', '', 'TOKEN', gen_random_uuid(), %s, 'eve')""",
            [sealed],
        )
    with pytest.raises(SecretMissing) as again:
        listening.get("default", "production", "TOKEN")
    assert again.value.looked == missing.value.looked
    stored.put("default", "", "TOKEN", "hunter2", by="ada")
    deadline = time.monotonic() + 1
    while True:
        try:
            assert listening.get("default", "production", "TOKEN") == "hunter2"
            break
        except SecretMissing:
            assert time.monotonic() < deadline
            time.sleep(0.002)


def test_what_was_read_while_it_changed_is_not_remembered(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = StoredSecrets(database, KEY)
    book = SecretBook(stored, [])
    stored.put("default", "", "TOKEN", "old", by="ada")
    find = stored.find

    def interrupted(*place: str) -> str | None:
        value = find(*place)
        stored.put("default", "", "TOKEN", "new", by="ada")
        book.changed("default")
        return value

    monkeypatch.setattr(stored, "find", interrupted)
    assert book.get("default", "production", "TOKEN") == "old"
    monkeypatch.setattr(stored, "find", find)
    assert book.get("default", "production", "TOKEN") == "new"


def test_no_value_and_no_key_is_readable_in_the_database(database_url: str, stored: StoredSecrets) -> None:
    stored.put("default", "", "TOKEN", "correct horse battery staple", by="ada")
    with connect(database_url) as connection:
        rows = connection.execute("SELECT s::text, k::text FROM secrets s, secret_keys k").fetchall()
    told = "".join(rows[0])
    for secret in (b"correct horse battery staple", KEY):
        assert secret.decode() not in told
        assert secret.hex() not in told


def test_a_database_that_is_away_is_told_as_a_source_that_does_not_answer(
    unmigrated_database_url: str,
) -> None:
    database = Database(unmigrated_database_url.replace("?", "_that_is_not_there?"), connections=1)
    book = SecretPlaces(installation_key=KEY).open(database)
    database.close()
    with pytest.raises(SecretsUnavailable, match="database"):
        book.get("default", "production", "TOKEN")


def test_secrets_get_a_key_of_their_own_and_another_one_later(database: Database) -> None:
    """The installation key, and with it every webhook URL, stays."""
    first = SecretPlaces(installation_key=KEY)
    own = SecretPlaces(installation_key=KEY, key=OTHER_KEY)
    next_ = SecretPlaces(installation_key=KEY, key=b"n" * 32, old_key=OTHER_KEY)
    first.stored(database).put("default", "", "TOKEN", "hunter2", by="ada")
    for places in (own, next_):
        stored = places.stored(database)
        assert stored.find("default", "", "TOKEN") == "hunter2"
        assert stored.rotate("default") == (1, ("default",))
        assert stored.rotate("default") == (1, ())
    with pytest.raises(SecretUnreadable):
        first.stored(database).find("default", "", "TOKEN")
    with pytest.raises(SecretUnreadable):
        own.stored(database).find("default", "", "TOKEN")


def test_the_present_key_is_never_the_old_one(database: Database) -> None:
    """Of an installation key that has changed, the one of before is given as the old one."""
    SecretPlaces(installation_key=KEY).stored(database).put("default", "", "TOKEN", "hunter2", by="ada")
    SecretPlaces(installation_key=OTHER_KEY, old_key=KEY).stored(database).rotate("default")
    found = SecretPlaces(installation_key=OTHER_KEY).stored(database).find("default", "", "TOKEN")
    assert found == "hunter2"
