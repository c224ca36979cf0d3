"""Commands that ask a daemon find that of the user's own configuration."""

from pathlib import Path

import pytest

from streamclf.commands.own import reached, token_of, url_of
from streamclf.config import Config, ServerConfig
from streamclf.errors import UsageError


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("STREAMCLF_CONFIG", "STREAMCLF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "streamclf").mkdir()
    return tmp_path / "streamclf" / "config.toml"


@pytest.mark.parametrize(
    ("server", "url"),
    [
        (ServerConfig(), "ws://127.0.0.1:8765/v1"),
        (ServerConfig(host="0.0.0.0", port=9000), "ws://127.0.0.1:9000/v1"),
        (ServerConfig(host="::", port=0), "ws://127.0.0.1:8765/v1"),
        (ServerConfig(host="::1"), "ws://[::1]:8765/v1"),
        (ServerConfig(host="192.168.0.7", certificate="/c.pem"), "wss://192.168.0.7:8765/v1"),
    ],
)
def test_the_address_is_that_of_the_configuration(server: ServerConfig, url: str) -> None:
    assert url_of(Config(server=server)) == url


def test_what_is_typed_comes_before_the_configuration(own: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a" * 24)
    token.chmod(0o600)
    own.write_text(f'[server]\nport = 9000\ntoken_file = "{token}"\n')

    assert reached(None, None, token_file=None) == ("ws://127.0.0.1:9000/v1", "a" * 24)
    assert reached("birds.local", None, token_file=None) == ("birds.local", None), "its token is for our own daemon"
    assert reached(None, "birds.local", token_file=token) == ("birds.local", "a" * 24)
    with pytest.raises(UsageError, match="given twice"):
        reached("a", "b", token_file=None)


def test_a_token_that_may_not_be_read_is_left_to_the_daemon_to_ask_for() -> None:
    assert token_of(Config(server=ServerConfig(token_file="/nowhere/token"))) is None


def test_a_configuration_with_a_mistake_is_no_dead_end(own: Path) -> None:
    own.write_text("sorce = 3\n")
    with pytest.raises(UsageError, match=r"did you mean source.*; or name the daemon with --url"):
        reached(None, None, token_file=None)
