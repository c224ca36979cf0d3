"""Access tokens: files, the environment, two that are equal, and how often a wrong one may be tried."""

from pathlib import Path

import pytest

from streamclf.config import ServerConfig
from streamclf.errors import ConfigError
from streamclf.serve.http.tokens import EVERY_S, MAX_ADDRESSES, TRIES, Tries, check_apart, read_token, read_tokens

TOKEN = "0123456789abcdef"


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
    with pytest.raises(ConfigError, match=r"cannot be read: No such file or directory; make it: .* openssl rand"):
        read_token(tmp_path / "absent", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory; name a file that can"):
        read_token(tmp_path, {})


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    assert read_token(tmp_path / "absent", {"STREAMCLF_TOKEN": TOKEN}) == TOKEN
    assert read_token(None, {}) is None
    with pytest.raises(ConfigError, match="STREAMCLF_TOKEN holds no usable token"):
        read_token(None, {"STREAMCLF_TOKEN": "short"})


def test_two_roles_with_one_token_are_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"server\.token_file and labels hold the same token; each role needs one"):
        check_apart({"server.token_file": TOKEN, "audio": None, "labels": TOKEN})

    check_apart({"server.token_file": TOKEN, "audio": None, "labels": TOKEN + "2"})
    check_apart({"server.token_file": None, "audio": None, "labels": None})


def test_roles_besides_the_admin_need_one() -> None:
    with pytest.raises(ConfigError, match=r"audio is set and server\.token_file is not.*could be admin"):
        check_apart({"server.token_file": None, "audio": TOKEN, "labels": None})


def test_a_configuration_gives_a_token_for_each_role(tmp_path: Path) -> None:
    for name in ("audio", "labels"):
        (tmp_path / name).write_text(f"{name}-{TOKEN}\n")
        (tmp_path / name).chmod(0o600)
    server = ServerConfig(audio_token_file=str(tmp_path / "audio"), labels_token_file=str(tmp_path / "labels"))

    assert read_tokens(server, {"STREAMCLF_TOKEN": TOKEN}) == (TOKEN, f"audio-{TOKEN}", f"labels-{TOKEN}")
    assert read_tokens(ServerConfig(), {}) == (None, None, None)
    with pytest.raises(ConfigError, match="could be admin"):
        read_tokens(server, {})
    with pytest.raises(ConfigError, match="the same token"):
        read_tokens(server, {"STREAMCLF_TOKEN": f"audio-{TOKEN}"})


def test_tries_run_out_and_come_back() -> None:
    tries = Tries()
    for _ in range(TRIES):
        assert tries.wait_s("a", 100.0) == 0
        tries.wrong("a", 100.0)

    assert tries.wait_s("a", 100.0) == EVERY_S
    assert tries.wait_s("b", 100.0) == 0
    assert tries.wait_s("a", 100.0 + EVERY_S) == 0
    tries.wrong("a", 100.0 + EVERY_S)
    assert tries.wait_s("a", 100.0 + EVERY_S) == EVERY_S
    assert tries.wait_s("a", 100.0 + 100 * TRIES * EVERY_S) == 0


def test_several_times_the_tries_come_back_as_many_times_as_fast() -> None:
    tries = Tries(times=5)
    for _ in range(5 * TRIES):
        assert tries.wait_s("a", 100.0) == 0
        tries.wrong("a", 100.0)

    assert tries.wait_s("a", 100.0) == pytest.approx(EVERY_S / 5)
    assert tries.wait_s("a", 100.0 + EVERY_S / 5) == pytest.approx(0)


def test_so_many_addresses_are_remembered_and_the_quietest_is_forgotten() -> None:
    tries = Tries()
    for _ in range(TRIES):
        tries.wrong("first", 0.0)
        tries.wrong("second", 0.0)
    for number in range(MAX_ADDRESSES - 2):
        tries.wrong(f"other {number}", 0.0)
    tries.wrong("first", 0.0)
    tries.wrong("one more", 0.0)

    assert tries.wait_s("first", 0.0) > 0
    assert tries.wait_s("second", 0.0) == 0


def test_a_credential_of_systemd_shows_a_right_of_its_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o440)  # as systemd 254 and later shows it, where the group is the list of who may
    (tmp_path / "below").mkdir()
    other = tmp_path / "below" / "token"
    other.write_text(TOKEN)
    other.chmod(0o440)

    assert read_token(file, {}) == TOKEN
    with pytest.raises(ConfigError, match="has mode 0440"):
        read_token(other, {})
    file.chmod(0o444)
    with pytest.raises(ConfigError, match="has mode 0444"):
        read_token(file, {})
