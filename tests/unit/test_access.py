"""Who may connect: Host, Origin, token, bind."""

from pathlib import Path

import pytest

from streamclf.errors import ConfigError, ServeError
from streamclf.serve.access import Access, ServerSettings, check_bind, read_token

TOKEN = "0123456789abcdef"
OWN = ["127.0.0.1:8765"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST", "[::1]:8765", "127.0.0.1", "birds.local:80", "localhost."]
)
def test_our_own_names_are_let_in(host: str) -> None:
    assert Access(ServerSettings(hosts=("Birds.local:8765",))).check_host([host]) is None


@pytest.mark.parametrize(
    "hosts",
    [["evil.example:8765"], ["localhost.evil.example"], ["192.168.1.5"], ["a b"], ["localhost:x"], [""], [], OWN * 2],
)
def test_a_foreign_name_is_not_as_with_dns_rebinding(hosts: list[str]) -> None:
    assert Access(ServerSettings()).check_host(hosts) is not None


def test_an_open_bind_is_reached_by_any_address_but_not_by_any_name() -> None:
    access = Access(ServerSettings(host="0.0.0.0", token=TOKEN))

    assert access.check_host(["192.168.1.5:8765"]) is None
    assert access.check_host(["[fe80::1]:8765"]) is None
    assert "server.hosts" in str(access.check_host(["rebound.example"]))


@pytest.mark.parametrize(
    "origins", [[], ["http://127.0.0.1:8765"], ["https://127.0.0.1:8765"], ["https://dash.example"]]
)
def test_own_configured_and_absent_origins_may_connect(origins: list[str]) -> None:
    assert Access(ServerSettings(origins=("https://DASH.example/",))).check_origin(origins, OWN) is None


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://127.0.0.1:9999", "null", "", "file://", "https://dash.example.evil.example",
     "http://[", "chrome-extension://127.0.0.1:8765"],
)  # fmt: skip
def test_a_foreign_origin_may_not(origin: str) -> None:
    refusal = Access(ServerSettings(origins=("https://dash.example",))).check_origin([origin], OWN)

    assert "server.origins" in str(refusal)


def test_two_origins_are_none() -> None:
    assert Access(ServerSettings()).check_origin(["http://127.0.0.1:8765"] * 2, OWN) is not None


@pytest.mark.parametrize(
    ("authorization", "subprotocols", "query"),
    [
        (f"Bearer {TOKEN}", [], []),
        (f"bearer {TOKEN}", [], []),
        (None, ["streamclf.v1", f"token.{TOKEN}"], []),
        (None, [], [TOKEN]),
        ("Bearer wrong", [], [TOKEN]),
    ],
)
def test_a_token_may_come_in_three_ways(authorization: str | None, subprotocols: list[str], query: list[str]) -> None:
    assert Access(ServerSettings(token=TOKEN)).check_token(authorization, subprotocols, query) is None


@pytest.mark.parametrize(
    ("authorization", "subprotocols", "query"),
    [
        (None, [], []),
        (TOKEN, [], []),
        ("Bearer", [], []),
        (f"Basic {TOKEN}", [], []),
        (None, [TOKEN], []),
        (None, ["token."], []),
        (None, [], [TOKEN + "x"]),
        (None, [], [TOKEN[:-1]]),
        (None, [], ["ü"]),
    ],
)
def test_anything_else_is_refused(authorization: str | None, subprotocols: list[str], query: list[str]) -> None:
    refusal = Access(ServerSettings(token=TOKEN)).check_token(authorization, subprotocols, query)

    assert refusal is not None
    assert TOKEN not in refusal


def test_without_a_token_set_none_is_asked_for() -> None:
    assert Access(ServerSettings()).check_token(None, [], []) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.1.5", "birds.local"])
def test_an_open_bind_without_a_token_is_refused(host: str) -> None:
    with pytest.raises(ServeError, match="no token is set; set STREAMCLF_TOKEN"):
        check_bind(ServerSettings(host=host))

    check_bind(ServerSettings(host=host, token=TOKEN))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_a_loopback_bind_needs_none(host: str) -> None:
    check_bind(ServerSettings(host=host))


def test_a_token_file_is_read_when_only_its_owner_can(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)

    assert read_token(file, {}) == TOKEN


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606, 0o660])
def test_a_token_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(mode)

    with pytest.raises(ConfigError, match=f"has mode {mode:04o}.*run: chmod 600"):
        read_token(file, {})


@pytest.mark.parametrize("content", [b"short", b"", b"with spaces in it", b"caf\xc3\xa9caf\xc3\xa9caf", b"x" * 5000])
def test_what_is_no_token_is_refused_without_being_repeated(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)

    with pytest.raises(ConfigError) as refusal:
        read_token(file, {})

    assert str(file) in str(refusal.value)
    assert not content or content.decode(errors="replace") not in str(refusal.value)


def test_a_missing_token_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_token(tmp_path / "absent", {})
    with pytest.raises(ConfigError, match="cannot be read"):
        read_token(tmp_path, {})


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    assert read_token(tmp_path / "absent", {"STREAMCLF_TOKEN": TOKEN}) == TOKEN
    assert read_token(None, {}) is None
    with pytest.raises(ConfigError, match="STREAMCLF_TOKEN holds no usable token"):
        read_token(None, {"STREAMCLF_TOKEN": "short"})
