from __future__ import annotations

from pathlib import Path

import pytest

from cli import values
from cli.addresses import read_client
from cli.errors import StartError
from cli.given import Given, Origin, SettingsError
from cli.installation import find_key, hold, make_data_folder, open_key, open_token
from cli.settings import DATA, DATABASE_URL, PORT, Settings, read_settings
from store.settings import VaultSettings


def settings_of(data: Path, **environ: str) -> Settings:
    return read_settings(Given(environ={"WEFT_DATA": str(data)} | environ))


def test_a_flag_wins_over_the_environment_and_that_over_the_default() -> None:
    environ = {"WEFT_PORT": "9001", "WEFT_HOST": "", "WEFT_DATA": "/data/weft"}
    given = Given(flags={"WEFT_PORT": "9002", "WEFT_THREADS": None}, environ=environ)
    settings = read_settings(given)
    assert (settings.port, settings.host, settings.threads) == (9002, "127.0.0.1", 16)
    assert [given.origin(s) for s in (PORT, DATA, DATABASE_URL)] == [
        Origin.FLAG,
        Origin.ENVIRONMENT,
        Origin.DEFAULT,
    ]


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("WEFT_PORT", "70000", "a number up to 65535, such as 8080"),
        ("WEFT_PORT", "eighty", "a number up to 65535, such as 8080"),
        ("WEFT_HOST", "http://weft", "an address or a host name, such as 0.0.0.0"),
        ("WEFT_PUBLIC_URL", "weft.example", "an address such as https://weft.example"),
        ("WEFT_PUBLIC_URL", "https://weft.example:port", "an address such as https://weft.example"),
        ("WEFT_WORKERS", "0", "a number from 1 to 256, such as 2"),
        ("WEFT_LOG", "loud", "debug, info, warning or error"),
        ("WEFT_BLOBS", "s3://", "a folder, or an address such as s3://bucket/prefix"),
        ("WEFT_BLOBS", "gs://bucket", "a folder, or an address such as s3://bucket/prefix"),
    ],
)
def test_a_wrong_setting_names_itself_its_value_and_what_would_be_right(
    name: str, value: str, right: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(Given(environ={name: value}))
    assert str(caught.value).startswith(f"{name}={value} is wrong: it takes {right}")


def test_blobs_are_in_the_data_folder_unless_told_otherwise(tmp_path: Path) -> None:
    assert settings_of(tmp_path).blobs == str(tmp_path / "blobs")
    assert settings_of(tmp_path, WEFT_BLOBS="/mnt/blobs").blobs == "/mnt/blobs"
    assert settings_of(tmp_path, WEFT_BLOBS="s3://bucket/weft").blobs == "s3://bucket/weft"


def test_a_wrong_flag_is_named_as_it_was_typed() -> None:
    with pytest.raises(SettingsError, match=r"^--port abc is wrong"):
        read_settings(Given(flags={"WEFT_PORT": "abc"}, environ={}))


def test_an_address_that_is_shown_may_hold_no_password() -> None:
    environ = {"WEFT_FORGE_API": "https://ada:hunter2@git.example/api/v4"}
    with pytest.raises(SettingsError, match="WEFT_FORGE_API=") as found:
        read_settings(Given(environ=environ))
    assert "hunter2" not in str(found.value)


@pytest.mark.parametrize("name", ["WEFT_DATABASE_URL", "WEFT_ADMIN_TOKEN", "WEFT_INSTALLATION_KEY"])
def test_a_wrong_secret_is_not_shown(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(Given(environ={name: "hunter2"}))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_secrets_stay_out_of_what_is_printed() -> None:
    url = "postgresql://weft:hunter2@db.example/weft"
    settings = read_settings(Given(environ={"WEFT_DATABASE_URL": url, "WEFT_ADMIN_TOKEN": "s" * 30}))
    assert "hunter2" not in repr(settings)
    assert "sss" not in repr(settings)
    assert values.without_password(url) == "postgresql://weft:****@db.example/weft"
    assert values.without_password("redis://:hunter2@cache:6379/0") == "redis://:****@cache:6379/0"
    assert values.without_password("unix:///run/v.sock") == "unix:///run/v.sock"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
        ("weft.example", "http://weft.example:8080"),
    ],
)
def test_the_public_url_follows_host_and_port(host: str, url: str) -> None:
    assert read_settings(Given(environ={"WEFT_HOST": host})).public_url == url


def test_the_token_and_the_key_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with pytest.raises(StartError, match="WEFT_INSTALLATION_KEY is not set and"):
        find_key(settings)
    token, key = open_token(settings), open_key(settings)
    assert (open_token(settings), open_key(settings), find_key(settings)) == (token, key, key)
    assert len(key) == 32
    for name in ("admin-token", "installation-key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["admin-token", "installation-key"]


def test_given_secrets_win_over_the_files(tmp_path: Path) -> None:
    open_token(settings_of(tmp_path))
    open_key(settings_of(tmp_path))
    given = settings_of(tmp_path, WEFT_ADMIN_TOKEN="t" * 20, WEFT_INSTALLATION_KEY="ab" * 32)
    assert (open_token(given), open_key(given)) == ("t" * 20, b"\xab" * 32)


def test_a_damaged_key_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "installation-key").write_text("half")
    with pytest.raises(StartError, match="restore it from a backup"):
        open_key(settings_of(tmp_path))
    assert (tmp_path / "installation-key").read_text() == "half"


def test_a_data_folder_has_one_holder_and_says_who(tmp_path: Path) -> None:
    hold(tmp_path)
    with pytest.raises(StartError, match=r"already runs on .* \(pid \d+\): stop it, or choose another"):
        hold(tmp_path)


def test_a_data_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        StartError, match=r"cannot be written \(Not a directory\): choose another with --data"
    ):
        make_data_folder(tmp_path / "file" / "weft")


def test_the_command_line_finds_the_local_installation(tmp_path: Path) -> None:
    given = Given(environ={"WEFT_DATA": str(tmp_path)})
    with pytest.raises(StartError, match="start weft up, or set WEFT_URL"):
        read_client(given)
    (tmp_path / "url").write_text("http://127.0.0.1:9000\n")
    (tmp_path / "admin-token").write_text("weft_local\n")
    client = read_client(given)
    assert (client.url, client.token) == ("http://127.0.0.1:9000", "weft_local")


def test_a_remote_address_never_gets_the_local_token(tmp_path: Path) -> None:
    (tmp_path / "admin-token").write_text("weft_local\n")
    with pytest.raises(StartError, match="set WEFT_TOKEN"):
        read_client(Given(environ={"WEFT_DATA": str(tmp_path), "WEFT_URL": "https://weft.example"}))


VAULT = {"WEFT_VAULT_URL": "https://vault.example:8200/"}


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {},
            "takes one of WEFT_VAULT_TOKEN, WEFT_VAULT_ROLE_ID, WEFT_VAULT_KUBERNETES_ROLE, and none is set",
        ),
        ({"WEFT_VAULT_TOKEN": "hunter2", "WEFT_VAULT_ROLE_ID": "r", "WEFT_VAULT_SECRET_ID": "s"}, "not 2"),
        ({"WEFT_VAULT_ROLE_ID": "r"}, "are set together or not at all"),
        ({"WEFT_VAULT_TOKEN": "hunter2", "WEFT_VAULT_SECRET_ID": "s"}, "are set together or not at all"),
        ({"WEFT_VAULT_TOKEN": "hunter2", "WEFT_VAULT_MOUNT": "../sys"}, "WEFT_VAULT_MOUNT=../sys is wrong"),
    ],
)
def test_vault_is_entered_in_one_way(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_settings(Given(environ=VAULT | environ))
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)


def test_what_opens_secrets_is_not_in_a_repr() -> None:
    environ = VAULT | {
        "WEFT_VAULT_TOKEN": "hunter2",
        "WEFT_SECRETS_KEY": "ab" * 32,
        "WEFT_SECRETS_KEY_OLD": "ab" * 32,
    }
    settings = read_settings(Given(environ=environ))
    assert settings.vault == VaultSettings(
        url="https://vault.example:8200", mount="secret", prefix="weft", token="hunter2"
    )
    assert settings.secrets_key == settings.secrets_key_old == b"\xab" * 32
    assert "hunter2" not in repr(settings)
    assert repr(b"\xab" * 32) not in repr(settings)
    assert read_settings(Given(environ={})).vault is None
