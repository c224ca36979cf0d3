"""Rules and configuration that another user of the machine could have written are refused, in one sentence."""

import os
import subprocess
from pathlib import Path

import pytest

from streamclf.alerts.rules.rulefile import read_rules
from streamclf.config import load
from streamclf.errors import ConfigError


def of(tmp_path: Path, *, mode: int) -> Path:
    path = tmp_path / "file.toml"
    path.write_text("")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o666, 0o646, 0o602, 0o777])
def test_what_everybody_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = of(tmp_path, mode=mode)

    with pytest.raises(ConfigError, match=f"configuration file {path} has mode {mode:04o}.*run: chmod o-w {path}"):
        load(file=path, environ={})
    with pytest.raises(ConfigError, match=f"rules file {path} has mode {mode:04o}.*run: chmod o-w {path}"):
        read_rules(path)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o444])
def test_what_others_can_read_and_a_group_can_write_is_not(tmp_path: Path, mode: int) -> None:
    path = of(tmp_path, mode=mode)

    load(file=path, environ={})
    assert read_rules(path) == ""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a file away")
def test_the_file_of_another_user_may_be_used(tmp_path: Path) -> None:
    path = of(tmp_path, mode=0o644)
    os.chown(path, 4242, -1)

    load(file=path, environ={})
    assert read_rules(path) == ""


def test_a_link_is_judged_by_what_it_leads_to(tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(of(tmp_path, mode=0o666))

    with pytest.raises(ConfigError, match="has mode 0666"):
        read_rules(link)


def test_an_empty_device_is_no_configuration_of_anybody() -> None:
    load(file=Path("/dev/null"), environ={})


def test_a_pipe_that_nobody_writes_into_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamclf.trust._PIPE_S", 0.1)
    path = tmp_path / "pipe"
    os.mkfifo(path)

    with pytest.raises(ConfigError, match=f"configuration file {path} is a pipe, and nothing came within"):
        load(file=path, environ={})


def test_a_pipe_is_read_to_its_end_as_a_shell_makes_one() -> None:
    """`--config <(...)`: what is written comes in parts, and late."""
    words = ["sh", "-c", "sleep 0.2; printf '[server]\\n'; sleep 0.2; printf 'port = 4321\\n'"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        found = load(file=Path(f"/dev/fd/{writer.stdout.fileno()}"), environ={})

    assert found.server.port == 4321
