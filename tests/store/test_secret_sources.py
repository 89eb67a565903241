"""Secrets that others keep: mounted files, variables, and Vault, which may be slow, away or unwilling."""

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest
from vault_site import Token, VaultSite

from store.database import Database
from store.secrets import SecretBook, SecretMissing, SecretPlaces, SecretsUnavailable, SecretUnreadable
from store.secrets.files import Files
from store.secrets.stored import StoredSecrets
from store.secrets.variables import Variables
from store.secrets.vault import Vault
from store.secrets.vault_login import VaultDoor
from store.settings import VaultSettings

KEY = b"k" * 32
FIRST = "default"


# Files


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def test_a_file_of_the_environment_comes_before_that_of_all(tmp_path: Path) -> None:
    write(tmp_path / "TOKEN", "everywhere\n")
    write(tmp_path / "production" / "TOKEN", "in production\n")
    files = Files(tmp_path)
    assert files.find(FIRST, "production", "TOKEN") == "in production"
    assert files.find(FIRST, "staging", "TOKEN") == "everywhere"
    assert files.find(FIRST, "staging", "OTHER") is None


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("x\n", "x"),
        ("x\n\n", "x\n"),
        ("x\r\n", "x"),
        ("x", "x"),
        ("x\r", "x\r"),
        (" x \n", " x "),
        ("\n\n", "\n"),
    ],
)
def test_one_line_end_is_no_part_of_the_secret(tmp_path: Path, written: str, value: str) -> None:
    write(tmp_path / "TOKEN", written)
    assert Files(tmp_path).find(FIRST, "production", "TOKEN") == value


@pytest.mark.parametrize("written", ["", "\n", "\r\n"])
def test_an_empty_file_is_no_secret_and_hides_none_behind_it(tmp_path: Path, written: str) -> None:
    write(tmp_path / "production" / "TOKEN", written)
    write(tmp_path / "TOKEN", "everywhere")
    with pytest.raises(SecretUnreadable, match=r"production/TOKEN cannot be read: it is empty\."):
        Files(tmp_path).find(FIRST, "production", "TOKEN")


def test_an_empty_variable_counts_as_one_that_is_not_set() -> None:
    variables = Variables({"WEFT_SECRET_TOKEN": "", "WEFT_SECRET_OTHER": "x"})
    assert variables.find(FIRST, "production", "TOKEN") is None
    assert [place.name for place in variables.names(FIRST)] == ["OTHER"]


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "outside", "hunter2")
    write(tmp_path / "mounted" / "sub" / "TOKEN", "hunter3")
    files = Files(tmp_path / "mounted")
    for name in ("../outside", "sub/TOKEN", "..", ".", "", "/etc/passwd", "TOKEN\0", "x" * 101, "a-b"):
        assert files.find(FIRST, "production", name) is None
    for environment in ("..", "../mounted", ".", "/", "sub/../sub", "Sub", ""):
        assert files.find(FIRST, environment, "outside") is None
        assert files.find(FIRST, environment, "TOKEN") is None


def test_a_folder_that_kubernetes_has_mounted_is_read_and_followed_when_it_changes(tmp_path: Path) -> None:
    def mount(generation: str, value: str) -> None:
        write(tmp_path / generation / "TOKEN", value)
        (tmp_path / "new").symlink_to(generation)
        (tmp_path / "new").rename(tmp_path / "..data")

    mount("..2026_01", "first")
    (tmp_path / "TOKEN").symlink_to("..data/TOKEN")
    files = Files(tmp_path)
    assert files.find(FIRST, "production", "TOKEN") == "first"
    mount("..2026_02", "second")
    assert files.find(FIRST, "production", "TOKEN") == "second"
    assert [tuple(place) for place in files.names(FIRST)] == [("", "TOKEN")]


def test_what_is_no_plain_text_file_is_refused_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "BINARY").write_bytes(b"hunter2\xff")
    write(tmp_path / "LARGE", "hunter2" * 10_000)
    (tmp_path / "CIRCLE").symlink_to("CIRCLE")
    for name in ("BINARY", "LARGE", "CIRCLE"):
        with pytest.raises(SecretUnreadable, match=name) as error:
            Files(tmp_path).find(FIRST, "production", name)
        assert "hunter2" not in str(error.value)
        assert error.value.__cause__ is None or "hunter2" not in repr(error.value.__cause__)
    os.mkfifo(tmp_path / "PIPE")
    (tmp_path / "FOLDER").mkdir()
    for name in ("PIPE", "FOLDER"):
        assert Files(tmp_path).find(FIRST, "production", name) is None
    write(tmp_path / "MOST", "x" * 65_536 + "\n")
    assert Files(tmp_path).find(FIRST, "production", "MOST") == "x" * 65_536


def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    files = Files(tmp_path / "nowhere")
    assert files.find(FIRST, "production", "TOKEN") is None
    assert list(files.names(FIRST)) == []


def test_files_and_variables_are_those_of_the_first_organisation_alone(tmp_path: Path) -> None:
    write(tmp_path / "TOKEN", "x")
    write(tmp_path / "staging" / "OTHER", "x")
    sources = (Files(tmp_path), Variables({"WEFT_SECRET_TOKEN": "x", "WEFT_SECRET_": "x", "TOKEN": "x"}))
    assert [[tuple(one) for one in source.names(FIRST)] for source in sources] == [
        [("", "TOKEN"), ("staging", "OTHER")],
        [("", "TOKEN")],
    ]
    for source in sources:
        assert source.find("acme", "production", "TOKEN") is None
        assert source.looked("acme", "production", "TOKEN") is None
        assert list(source.names("acme")) == []


def test_the_sources_are_asked_in_their_order(
    database: Database, tmp_path: Path, vault: VaultSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = vault_settings(vault, token=vault.token())
    book = SecretPlaces(installation_key=KEY, folder=tmp_path, vault=settings).open(database)
    stored = StoredSecrets(database, KEY)
    stored.put(FIRST, "production", "TOKEN", "stored for production", by="ada")
    stored.put(FIRST, "", "TOKEN", "stored for all", by="ada")
    write(tmp_path / "production" / "TOKEN", "in a file for production")
    write(tmp_path / "TOKEN", "in a file for all")
    monkeypatch.setenv("WEFT_SECRET_TOKEN", "in a variable")
    vault.secrets["weft/production/TOKEN"] = {"value": "in Vault"}

    def steps() -> Iterator[str]:
        for undo in (
            lambda: stored.delete(FIRST, "production", "TOKEN"),
            lambda: stored.delete(FIRST, "", "TOKEN"),
            (tmp_path / "production" / "TOKEN").unlink,
            (tmp_path / "TOKEN").unlink,
            lambda: monkeypatch.delenv("WEFT_SECRET_TOKEN"),
            vault.secrets.clear,
        ):
            book.forget()
            yield book.get(FIRST, "production", "TOKEN")
            undo()

    assert list(steps()) == [
        "stored for production",
        "stored for all",
        "in a file for production",
        "in a file for all",
        "in a variable",
        "in Vault",
    ]
    book.forget()
    with pytest.raises(SecretMissing) as missing:
        book.get(FIRST, "production", "TOKEN")
    assert missing.value.looked == (
        "Weft's own (of the environment production, and of all)",
        f"the files {tmp_path}/production/TOKEN and {tmp_path}/TOKEN",
        "the variable WEFT_SECRET_TOKEN",
        "Vault (secret/weft/production/TOKEN)",
    )
    book.close()


def test_a_file_that_changes_counts_when_its_time_is_over(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.secrets.book.OUTSIDE_SECONDS", 0.2)
    book = SecretPlaces(installation_key=KEY, folder=tmp_path).open(database)
    write(tmp_path / "TOKEN", "old")
    assert book.get(FIRST, "production", "TOKEN") == "old"
    write(tmp_path / "TOKEN", "new")
    assert book.get(FIRST, "production", "TOKEN") == "old"
    time.sleep(0.21)
    assert book.get(FIRST, "production", "TOKEN") == "new"


# Vault


@pytest.fixture
def vault() -> Iterator[VaultSite]:
    site = VaultSite()
    yield site
    site.close()


def vault_settings(site: VaultSite, **how: str) -> VaultSettings:
    return VaultSettings(url=site.url, mount="secret", prefix="weft", **how)


@pytest.fixture
def opened(vault: VaultSite) -> Iterator[Callable[..., Vault]]:
    made: list[Vault] = []

    def open_(account: Path | None = None, **how: str) -> Vault:
        settings = vault_settings(vault, **how)
        door = VaultDoor(settings) if account is None else VaultDoor(settings, account=account)
        made.append(Vault(settings, door))
        return made[-1]

    yield open_
    for one in made:
        one.close()


def test_vault_gives_the_field_value_of_the_environments_path(
    vault: VaultSite, opened: Callable[..., Vault]
) -> None:
    vault.secrets |= {
        "weft/production/TOKEN": {"value": "hunter2", "note": "x"},
        "weft/production/GONE": None,
        "weft/organisations/acme/production/TOKEN": {"value": "acme's"},
    }
    source = opened(token=vault.token())
    assert source.find(FIRST, "production", "TOKEN") == "hunter2"
    assert source.find("acme", "production", "TOKEN") == "acme's"
    for place in (
        (FIRST, "staging", "TOKEN"),
        (FIRST, "production", "GONE"),
        (FIRST, "production", "../x"),
        ("../..", "production", "TOKEN"),
        ("other", "production", "TOKEN"),
    ):
        assert source.find(*place) is None
    assert not any(".." in seen for seen in vault.seen)


def test_the_names_in_vault_are_known_with_their_environments(
    vault: VaultSite, opened: Callable[..., Vault]
) -> None:
    vault.secrets |= {
        "weft/production/A": {"value": "x"},
        "weft/production/not-a-name": {"value": "x"},
        "weft/staging/B": {"value": "x"},
        "weft/organisations/acme/production/C": {"value": "x"},
        "weft/LOOSE": {"value": "x"},
    }
    source = opened(token=vault.token())
    assert {tuple(one) for one in source.names(FIRST)} == {("production", "A"), ("staging", "B")}
    assert [tuple(one) for one in source.names(FIRST, "staging")] == [("staging", "B")]
    assert [tuple(one) for one in source.names("acme")] == [("production", "C")]
    assert list(source.names("other")) == []


@pytest.mark.parametrize("fields", [{"token": "hunter2"}, {"value": 7}, {"value": None}, {"value": ""}])
def test_a_secret_without_text_in_its_field_says_which_field(
    vault: VaultSite, opened: Callable[..., Vault], fields: dict[str, object]
) -> None:
    vault.secrets["weft/production/TOKEN"] = fields
    with pytest.raises(
        SecretUnreadable, match='field "value": vault kv put secret/weft/production/TOKEN'
    ) as error:
        opened(token=vault.token()).find(FIRST, "production", "TOKEN")
    assert "hunter2" not in str(error.value)


def test_what_a_policy_denies_is_no_secret_that_is_missing(
    vault: VaultSite, opened: Callable[..., Vault]
) -> None:
    vault.secrets["weft/production/TOKEN"] = {"value": "hunter2"}
    source = opened(token=vault.token(paths=("weft/staging/",)))
    with pytest.raises(SecretsUnavailable, match="denies reading secret/weft/production/TOKEN"):
        source.find(FIRST, "production", "TOKEN")
    assert source.find(FIRST, "staging", "TOKEN") is None


def test_a_wrong_mount_is_told_as_such(vault: VaultSite, opened: Callable[..., Vault]) -> None:
    settings = VaultSettings(url=vault.url, mount="secrets", prefix="weft", token=vault.token())
    source = Vault(settings)
    with pytest.raises(SecretUnreadable, match="WEFT_VAULT_MOUNT"):
        source.find(FIRST, "production", "TOKEN")
    source.close()


def test_a_sealed_vault_says_so_and_is_asked_again_later(
    vault: VaultSite, opened: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.secrets.vault.DOWN_SECONDS", 0.1)
    vault.secrets["weft/production/TOKEN"] = {"value": "hunter2"}
    source = opened(token=vault.token())
    vault.sealed = True
    with pytest.raises(SecretsUnavailable, match="Vault is sealed"):
        source.find(FIRST, "production", "TOKEN")
    vault.sealed = False
    asked = len(vault.seen)
    with pytest.raises(SecretsUnavailable, match="Vault is sealed"):
        source.find(FIRST, "production", "TOKEN")
    assert len(vault.seen) == asked
    time.sleep(0.11)
    assert source.find(FIRST, "production", "TOKEN") == "hunter2"


def test_a_slow_vault_holds_nobody_for_long(
    vault: VaultSite, opened: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.secrets.vault_login.PATIENCE", 0.2)
    source = opened(token=vault.token())
    vault.delay = 1.0
    for _ in range(20):
        with pytest.raises(SecretsUnavailable, match="does not answer"):
            source.find(FIRST, "production", "TOKEN")
    assert vault.seen.count("GET secret/data/weft/production/TOKEN") == 1


def test_a_vault_that_is_away_and_comes_back_is_found(
    vault: VaultSite, opened: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.secrets.vault.DOWN_SECONDS", 0.0)
    vault.secrets["weft/production/TOKEN"] = {"value": "hunter2"}
    source = opened(token=vault.token())
    assert source.find(FIRST, "production", "TOKEN") == "hunter2"
    vault.down = True
    with pytest.raises(SecretsUnavailable, match="does not answer"):
        source.find(FIRST, "production", "TOKEN")
    vault.down = False
    assert source.find(FIRST, "production", "TOKEN") == "hunter2"


def test_an_address_where_nobody_listens_is_told_as_such() -> None:
    gone = VaultSite()
    gone.close()
    source = Vault(vault_settings(gone, role_id="weft", secret_id="s3cret"))
    with pytest.raises(SecretsUnavailable, match=f"Vault at {gone.url} does not answer"):
        source.find(FIRST, "production", "TOKEN")
    source.close()


def unknown(
    database: Database, book: SecretBook, environment: str, names: Collection[str]
) -> Collection[str]:
    with database.connection() as connection:
        return book.unknown(connection, FIRST, environment, names)


def test_a_vault_that_is_away_keeps_no_secret_from_other_places(
    database: Database, tmp_path: Path, vault: VaultSite
) -> None:
    settings = vault_settings(vault, token="x")
    book = SecretPlaces(installation_key=KEY, folder=tmp_path, vault=settings).open(database)
    vault.sealed = True
    write(tmp_path / "TOKEN", "hunter2")
    assert book.get(FIRST, "production", "TOKEN") == "hunter2"
    with pytest.raises(SecretsUnavailable, match="sealed"):
        book.get(FIRST, "production", "OTHER")
    assert book.known(FIRST, "production") == {"TOKEN"}
    assert unknown(database, book, "production", {"TOKEN", "OTHER"}) == frozenset()
    vault.sealed = False
    book.close()


def test_what_is_surely_unknown_is_said(database: Database, tmp_path: Path, vault: VaultSite) -> None:
    settings = vault_settings(vault, token=vault.token())
    book = SecretPlaces(installation_key=KEY, folder=tmp_path, vault=settings).open(database)
    StoredSecrets(database, KEY).put(FIRST, "staging", "STORED", "x", by="ada")
    write(tmp_path / "FILE", "x")
    vault.secrets["weft/staging/VAULT"] = {"value": "x"}
    names = {"STORED", "FILE", "VAULT", "NOWHERE"}
    assert unknown(database, book, "staging", names) == {"NOWHERE"}
    assert unknown(database, book, "production", names) == {"STORED", "VAULT", "NOWHERE"}
    assert book.known(FIRST, "staging") == {"STORED", "FILE", "VAULT"}
    asked = len(vault.seen)
    assert unknown(database, book, "staging", {"STORED", "FILE"}) == frozenset()
    assert len(vault.seen) == asked
    book.close()


def test_a_token_is_renewed_before_it_ends(vault: VaultSite, opened: Callable[..., Vault]) -> None:
    vault.secrets["weft/production/TOKEN"] = {"value": "hunter2"}
    source = opened(token=vault.token(ttl=0.3))
    time.sleep(1.0)
    assert source.find(FIRST, "production", "TOKEN") == "hunter2"
    assert vault.seen.count("POST auth/token/renew-self") >= 3


def test_a_token_that_cannot_be_renewed_is_told_before_it_ends(
    vault: VaultSite, opened: Callable[..., Vault], caplog: pytest.LogCaptureFixture
) -> None:
    source = opened(token=vault.token(ttl=0.3, renewable=False))
    deadline = time.monotonic() + 5
    while "vault_token_expires" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)
    with pytest.raises(SecretsUnavailable, match="has expired"):
        source.find(FIRST, "production", "TOKEN")


def test_a_role_logs_in_when_it_is_needed_and_again_when_that_runs_out(
    vault: VaultSite, opened: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.secrets.vault_login.AGAIN", 0.0)
    vault.secrets["weft/production/TOKEN"] = {"value": "hunter2"}
    vault.roles["weft", "s3cret"] = Token(ttl=0.3)
    source = opened(role_id="weft", secret_id="s3cret")
    for _ in range(3):
        assert source.find(FIRST, "production", "TOKEN") == "hunter2"
    assert vault.seen.count("POST auth/approle/login") == 1
    time.sleep(0.35)
    assert source.find(FIRST, "production", "TOKEN") == "hunter2"
    vault.tokens.clear()  # Vault was restored from a backup, or somebody has revoked them
    assert source.find(FIRST, "production", "TOKEN") == "hunter2"
    assert vault.seen.count("POST auth/approle/login") == 3


def test_what_a_roles_policy_denies_is_no_reason_to_log_in_at_every_call(
    vault: VaultSite, opened: Callable[..., Vault]
) -> None:
    vault.roles["weft", "s3cret"] = Token(ttl=60, paths=("weft/staging/",))
    source = opened(role_id="weft", secret_id="s3cret")
    for _ in range(5):
        with pytest.raises(SecretsUnavailable, match="denies"):
            source.find(FIRST, "production", "TOKEN")
    assert vault.seen.count("POST auth/approle/login") == 1


def test_a_source_that_refuses_is_not_asked_at_every_call(
    database: Database, vault: VaultSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.secrets.book.SILENT_SECONDS", 0.3)
    vault.secrets["weft/production/TOKEN"] = {"value": "hunter2"}
    settings = vault_settings(vault, token=vault.token(paths=("weft/staging/",)))
    book = SecretPlaces(installation_key=KEY, vault=settings).open(database)
    said = set()
    for _ in range(20):
        with pytest.raises(SecretsUnavailable) as error:
            book.get(FIRST, "production", "TOKEN")
        said.add(str(error.value))
    assert len(said) == 1
    assert vault.seen.count("GET secret/data/weft/production/TOKEN") == 1
    vault.tokens[settings.token or ""].paths = ("weft/",)
    time.sleep(0.31)
    assert book.get(FIRST, "production", "TOKEN") == "hunter2"
    book.close()


def test_threads_that_find_a_role_logged_out_log_in_once(
    vault: VaultSite, opened: Callable[..., Vault]
) -> None:
    vault.secrets["weft/production/TOKEN"] = {"value": "hunter2"}
    vault.roles["weft", "s3cret"] = Token(ttl=60)
    source = opened(role_id="weft", secret_id="s3cret")
    vault.delay = 0.05
    found: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(source.find(FIRST, "production", "TOKEN")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["hunter2"] * 8
    assert vault.seen.count("POST auth/approle/login") == 1


def test_a_role_that_vault_does_not_know_is_told_without_its_secret(
    vault: VaultSite, opened: Callable[..., Vault]
) -> None:
    with pytest.raises(SecretsUnavailable, match="WEFT_VAULT_ROLE_ID") as error:
        opened(role_id="weft", secret_id="s3cret").find(FIRST, "production", "TOKEN")
    assert "s3cret" not in str(error.value)


def test_a_pod_logs_in_with_its_service_account(
    vault: VaultSite, opened: Callable[..., Vault], tmp_path: Path
) -> None:
    vault.secrets["weft/production/TOKEN"] = {"value": "hunter2"}
    vault.roles["weft", "eyJ.the.jwt"] = Token(ttl=60)
    account = tmp_path / "token"
    source = opened(account, kubernetes_role="weft")
    with pytest.raises(SecretUnreadable, match="service account"):
        source.find(FIRST, "production", "TOKEN")
    account.write_text("eyJ.the.jwt\n")
    assert source.find(FIRST, "production", "TOKEN") == "hunter2"


def test_no_log_of_a_library_tells_a_value_or_a_token(
    vault: VaultSite, opened: Callable[..., Vault], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    vault.secrets["weft/production/TOKEN"] = {"value": "hunter2"}
    vault.roles["weft", "s3cret"] = Token(ttl=60)
    token = vault.token()
    for source in (opened(token=token), opened(role_id="weft", secret_id="s3cret")):
        assert source.find(FIRST, "production", "TOKEN") == "hunter2"
    assert "weft/production/TOKEN" in caplog.text  # urllib3 names addresses
    for secret in ("hunter2", "s3cret", token):
        assert secret not in caplog.text


def test_the_book_survives_the_way_to_another_process(database: Database, tmp_path: Path) -> None:
    places = SecretPlaces(
        installation_key=KEY,
        key=b"s" * 32,
        old_key=b"o" * 32,
        folder=tmp_path,
        vault=VaultSettings(url="http://vault", mount="secret", prefix="weft", token="t"),
    )
    assert SecretPlaces.from_json(places.as_json()) == places
    assert KEY.hex() not in repr(places)
    assert "'t'" not in repr(places)


def test_many_threads_read_one_book(database: Database, tmp_path: Path) -> None:
    book: SecretBook = SecretPlaces(installation_key=KEY, folder=tmp_path).open(database)
    StoredSecrets(database, KEY).put(FIRST, "", "TOKEN", "hunter2", by="ada")
    wrong: list[BaseException | str] = []

    def read() -> None:
        for number in range(300):
            value = book.get(FIRST, "production", "TOKEN")
            if value != "hunter2":
                wrong.append(value)
            if number % 50 == 0:
                book.forget()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
