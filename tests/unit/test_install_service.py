"""`install-service`: the unit fits the configuration, hurts nobody's changes, and systemd's own tools accept it."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamclf.cli import cli
from streamclf.commands import install_service
from streamclf.commands.unit import escaped, is_ours
from streamclf.errors import ConfigError, StreamclfError, UsageError
from tests.support.certificates import make_pair

LIMIT = 2.0  # of systemd-analyze's exposure, where 0 is closed and 10 is open
RULES = """
[sink.phone]
type = "webhook"
url = "https://example.org/hook"
[[rule]]
name = "bird"
labels = ["bird"]
sinks = ["phone"]
"""
OPEN = """
source = ["device", "url:rtsp://user:secret@camera/stream"]
rules = {rules}
[server]
host = "0.0.0.0"
token_file = {token}
"""
CONFIGS = {
    "empty": "",
    "microphone": 'source = ["device:USB Mic"]\n',
    "pushed": 'source = ["push:kitchen,16000"]\n',
    "open": OPEN,
    "graphics": 'provider = "cuda"\n',
    "store": '[store]\npath = "/srv/what is heard/100 %"\n',
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration but the test's own, and no CUDA to look for."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    monkeypatch.setattr(install_service, "_SYSTEM", {"XDG_CONFIG_HOME": str(tmp_path / "etc")})
    monkeypatch.setattr("streamclf.config.loading.system_file", lambda: tmp_path / "etc" / "streamclf" / "config.toml")
    monkeypatch.setattr(install_service, "system_file", lambda: tmp_path / "etc" / "streamclf" / "config.toml")
    monkeypatch.setattr(install_service, "_cuda_works", lambda config: False)


def called(*args: str) -> Result:
    return CliRunner().invoke(cli, ["install-service", *args], catch_exceptions=True)


def configured(folder: Path, text: str) -> Path:
    """A configuration file with its rules and its token beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.toml").write_text(RULES)
    (folder / "token").write_text("0123456789abcdef")
    (folder / "token").chmod(0o600)
    file = folder / "config.toml"
    rules, token = (json.dumps(str(folder / name)) for name in ("rules.toml", "token"))  # as TOML writes text, too
    file.write_text(text.format(rules=rules, token=token))
    return file


def printed(tmp_path: Path, text: str, *args: str, folder: str = "conf") -> str:
    done = called("--print", "--config", str(configured(tmp_path / folder, text)), *args)
    assert done.exit_code == 0, done.exception or done.output
    return done.stdout


def settings(unit: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)


def analyze(*args: str) -> str:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed, which judges units")
    done = subprocess.run([tool, *args], capture_output=True, text=True, timeout=120, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is too old to judge a unit that is not loaded")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def exposure(file: Path) -> float:
    found = re.search(
        r"exposure level for \S+: ([\d.]+)", analyze("security", "--offline=yes", "--no-pager", str(file))
    )
    assert found
    return float(found[1])


@pytest.mark.parametrize("config", CONFIGS)
def test_a_unit_of_the_system_is_closed(config: str, tmp_path: Path) -> None:
    file = tmp_path / "streamclf.service"
    file.write_text(printed(tmp_path, CONFIGS[config], "--system"))

    assert exposure(file) <= LIMIT


@pytest.mark.parametrize("folder", ["conf", "100 % of 'a\" b\\c$HOME:d"])
@pytest.mark.parametrize("scope", ["--system", "--user"])
@pytest.mark.parametrize("config", CONFIGS)
def test_systemd_reads_the_unit_without_a_word(config: str, scope: str, folder: str, tmp_path: Path) -> None:
    file = tmp_path / "streamclf.service"
    file.write_text(printed(tmp_path, CONFIGS[config], scope, folder=folder))

    # what it says of other units of this machine is not ours to mend
    said = analyze(*(["--user"] if scope == "--user" else []), "verify", "--recursive-errors=no", str(file))
    assert not [line for line in said.splitlines() if file.name in line]


def test_a_mistake_in_a_unit_would_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "streamclf.service"
    file.write_text(printed(tmp_path, "", "--system").replace("[Service]", "[Service]\nProtectEverything=yes"))

    with pytest.raises(AssertionError, match=r"streamclf\.service:.*ProtectEverything"):
        analyze("verify", "--recursive-errors=no", str(file))


def test_what_the_configuration_needs_is_open_and_nothing_else(tmp_path: Path) -> None:
    units = {name: printed(tmp_path, text, "--system") for name, text in CONFIGS.items()}

    for name in ("empty", "microphone", "pushed", "store", "graphics"):
        assert settings(units[name], "IPAddressDeny") == ["any"]
        assert settings(units[name], "IPAddressAllow") == ["localhost"]
    assert not settings(units["open"], "IPAddressDeny")
    assert "it listens on 0.0.0.0; source camera is a url; sink phone is a webhook" in units["open"]
    assert "secret" not in units["open"]
    for name in ("empty", "microphone", "open"):
        assert settings(units[name], "DeviceAllow") == ["char-alsa rw"]
        assert settings(units[name], "SupplementaryGroups") == ["audio"]
    assert settings(units["pushed"], "PrivateDevices") == ["yes"]
    assert not settings(units["pushed"], "SupplementaryGroups")
    assert "char-nvidia* rw" in settings(units["graphics"], "DeviceAllow")
    # memory that is written and run: CUDA's, and that by which PortAudio calls back
    assert {name for name, unit in units.items() if settings(unit, "MemoryDenyWriteExecute")} == {"pushed"}
    assert settings(units["store"], "ReadWritePaths") == ['"-/srv/what is heard/100 %%"']


def test_tokens_are_credentials_and_never_in_the_unit(tmp_path: Path) -> None:
    unit = printed(tmp_path, OPEN, "--system")

    assert settings(unit, "LoadCredential") == [f"token_file:{tmp_path}/conf/token"]
    assert "STREAMCLF_SERVER_TOKEN_FILE=%d/token_file" in settings(unit, "Environment")
    assert "0123456789abcdef" not in unit
    assert not settings(printed(tmp_path, OPEN, "--user"), "LoadCredential")


def test_a_configuration_that_others_cannot_read_is_a_credential_too(tmp_path: Path) -> None:
    file = configured(tmp_path / "conf", CONFIGS["microphone"])
    file.chmod(0o600)
    unit = called("--print", "--system", "--config", str(file)).stdout

    assert settings(unit, "LoadCredential") == [f"config:{file}"]
    assert settings(unit, "ExecStart")[0].endswith(" run --config %d/config")


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_key_of_root_is_a_credential_with_its_certificate(mode: int, tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path, "birds")
    certificate.chmod(0o644)
    key.chmod(mode)
    unit = printed(tmp_path, f'[server]\ncertificate = "{certificate}"\nkey = "{key}"\n', "--system")

    assert settings(unit, "LoadCredential") == [f"certificate:{certificate}", f"key:{key}"]
    assert {"STREAMCLF_SERVER_CERTIFICATE=%d/certificate", "STREAMCLF_SERVER_KEY=%d/key"} <= set(
        settings(unit, "Environment")
    )
    assert "PRIVATE KEY" not in unit


def test_files_of_a_home_are_shown_one_by_one(tmp_path: Path) -> None:
    text = 'source = ["file:/home/ann/my birds/100 %.flac"]\n[store]\npath = "/home/ann/events"\n'
    unit = printed(tmp_path, text, "--system")

    assert settings(unit, "ProtectHome") == ["tmpfs"]
    assert "-/home/ann/my birds/100 %.flac" in shlex.split(settings(unit, "BindReadOnlyPaths")[0].replace("%%", "%"))
    assert settings(unit, "BindPaths") == ["-/home/ann/events"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("/a/b-c_1.flac", "/a/b-c_1.flac"), ("/a b", '"/a b"'), ("/100%", "/100%%"), ('/"', '"/\\""'), ("", '""')],
)
def test_words_are_escaped(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_a_dollar_names_no_variable_and_a_line_break_is_refused() -> None:
    assert escaped("/$HOME", variables=True) == "/$$HOME"
    with pytest.raises(ConfigError, match="rename it"):
        escaped("/a\n[Service]")


@pytest.mark.parametrize("path", ["birds.flac", "~/birds.flac"])
def test_a_path_that_a_service_would_not_find_is_refused(path: str, tmp_path: Path) -> None:
    file = configured(tmp_path / "conf", f'source = ["file:{path}"]\n')
    done = called("--print", "--system", "--config", str(file))

    assert isinstance(done.exception, ConfigError)
    assert "write the whole path" in str(done.exception)


def test_a_configuration_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    done = called("--print", "--config", str(configured(tmp_path / "conf", "sauce = 1\n")))

    assert isinstance(done.exception, ConfigError)


def test_a_service_that_would_not_start_is_refused(tmp_path: Path) -> None:
    file = configured(tmp_path / "conf", OPEN)
    (file.parent / "token").chmod(0o644)
    readable = called("--print", "--user", "--config", str(file))
    file.write_text('[server]\nhost = "0.0.0.0"\n')
    alone = called("--print", "--user", "--config", str(file))

    assert isinstance(readable.exception, ConfigError)
    assert "chmod 600" in str(readable.exception)
    assert isinstance(alone.exception, ConfigError)
    assert "no token is set" in str(alone.exception)


def test_it_is_written_renewed_and_removed(tmp_path: Path) -> None:
    root, file = tmp_path / "image", tmp_path / "image/etc/systemd/system/streamclf.service"
    first = called("--system", "--root", str(root))
    again = called("--system", "--root", str(root))
    config = configured(tmp_path / "conf", CONFIGS["pushed"])
    other = called("--system", "--root", str(root), "--config", str(config))

    assert "is written" in first.stdout
    assert "systemctl enable --now streamclf" in first.stdout
    assert "is there already" in again.stdout
    assert "is written anew" in other.stdout
    assert is_ours(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o644
    assert not list(file.parent.glob(".*"))

    removed = called("--system", "--root", str(root), "--uninstall")
    assert "is removed" in removed.stdout
    assert "systemctl disable --now streamclf" in removed.stdout
    assert not file.exists()
    assert isinstance(called("--system", "--root", str(root), "--uninstall").exception, StreamclfError)


def test_a_unit_of_a_user_says_how_it_stays(tmp_path: Path) -> None:
    done = called("--user", "--root", str(tmp_path / "image"))

    (file,) = (tmp_path / "image").rglob("streamclf.service")
    assert file.parent.parts[-3:] == (".config", "systemd", "user")
    assert "systemctl --user enable --now streamclf" in done.stdout
    assert "loginctl enable-linger" in done.stdout


@pytest.mark.parametrize("action", [[], ["--uninstall"]])
def test_a_unit_that_somebody_changed_is_left_alone(action: list[str], tmp_path: Path) -> None:
    args = ["--system", "--root", str(tmp_path), *action]
    file = tmp_path / "etc/systemd/system/streamclf.service"
    called("--system", "--root", str(tmp_path))
    changed = file.read_text().replace("RestartSec=5", "RestartSec=1")
    file.write_text(changed)

    refused = called(*args)
    assert isinstance(refused.exception, StreamclfError)
    assert "left as it is" in str(refused.exception)
    assert file.read_text() == changed

    forced = called(*args, "--force")
    assert forced.exit_code == 0, forced.exception
    if action:
        assert not file.exists()
    else:
        assert is_ours(file.read_text())
        assert file.with_name("streamclf.service.old").read_text() == changed


def test_a_masked_unit_and_one_of_others_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    (folder / "streamclf.service").symlink_to("/dev/null")
    (folder / "garden.service").write_text("[Service]\nExecStart=/bin/true\n")

    masked = called("--system", "--root", str(tmp_path), "--force")
    others = called("--system", "--root", str(tmp_path), "--name", "garden")

    assert "a link" in str(masked.exception)
    assert (folder / "streamclf.service").is_symlink()
    assert "left as it is" in str(others.exception)


def test_a_second_daemon_has_folders_of_its_own(tmp_path: Path) -> None:
    unit = printed(tmp_path, CONFIGS["pushed"], "--system", "--name", "garden")

    assert settings(unit, "StateDirectory") == ["garden"]
    assert settings(unit, "User") == ["garden"]
    assert "STREAMCLF_STORE_PATH=%S/garden" in settings(unit, "Environment")
    for name in ("Garden", "a/b", "", "root shell"):
        assert isinstance(called("--print", "--name", name).exception, UsageError)


def test_variables_of_the_shell_do_not_count_and_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCLF_SERVER_HOST", "0.0.0.0")
    file = configured(tmp_path / "conf", CONFIGS["pushed"])
    done = called("--system", "--root", str(tmp_path), "--config", str(file))

    assert "STREAMCLF_SERVER_HOST" in done.stdout
    assert "will not reach the service" in done.stdout
    assert settings((tmp_path / "etc/systemd/system/streamclf.service").read_text(), "IPAddressDeny") == ["any"]
