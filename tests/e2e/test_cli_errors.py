"""A user's mistake gives one sentence and its exit status, never a traceback: 2 usage, 78 configuration, 1 run time."""

import shutil
import signal
import socket
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import StartDaemon
from tools.lab.daemon import READY_S, clean_env, hearing_ctrl_c, run_cli
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e

SENTENCE = "streamclf: error: "


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return stateful_pack(tmp_path / "tiny-stateful")


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """Half a second of a 440 Hz tone."""
    path = tmp_path / "song.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16_000), 16_000)
    return path


def sentence(done: subprocess.CompletedProcess[str], *, status: int) -> str:
    """The one line on standard error, after its prefix."""
    assert done.returncode == status, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(SENTENCE)
    return lines[0].removeprefix(SENTENCE)


def test_the_same_command_without_a_mistake_succeeds(tmp_path: Path, pack: Path, song: Path) -> None:
    done = run_cli("classify", str(song), "--model", str(pack), home=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


def test_missing_audio_file(tmp_path: Path, pack: Path) -> None:
    absent = tmp_path / "absent.wav"

    said = sentence(run_cli("classify", str(absent), "--model", str(pack), home=tmp_path), status=1)

    assert str(absent) in said


def test_missing_audio_file_of_a_daemon(tmp_path: Path, pack: Path, free_port: int) -> None:
    absent = tmp_path / "absent.wav"
    args = ("run", "--source", f"file:{absent}", "--model", str(pack), "--port", str(free_port))

    said = sentence(run_cli(*args, home=tmp_path), status=1)

    assert str(absent) in said


def test_a_path_in_the_home_of_nobody(tmp_path: Path, pack: Path, free_port: int) -> None:
    words = ["--source", "file:~no-such-user/a.wav", "--model", str(pack), "--port", str(free_port)]
    done = run_cli("run", *words, home=tmp_path)

    assert done.returncode == 78
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"{SENTENCE}a home folder is needed")


def test_text_file_as_audio(tmp_path: Path, pack: Path) -> None:
    text = tmp_path / "letter.wav"
    text.write_text("Dear listener,\n" * 100)

    said = sentence(run_cli("classify", str(text), "--model", str(pack), home=tmp_path), status=1)

    assert str(text) in said


def test_folder_as_audio(tmp_path: Path, pack: Path) -> None:
    said = sentence(run_cli("classify", str(tmp_path), "--model", str(pack), home=tmp_path), status=1)

    assert str(tmp_path) in said


def test_the_other_files_are_done_when_one_is_missing(tmp_path: Path, pack: Path, song: Path) -> None:
    absent = tmp_path / "absent.wav"

    done = run_cli("classify", str(absent), str(song), "--scores", "--model", str(pack), home=tmp_path)

    assert done.returncode == 1
    assert all(line.startswith(SENTENCE) for line in done.stderr.splitlines())
    assert song.name in done.stdout


def test_unknown_pack(tmp_path: Path, song: Path) -> None:
    said = sentence(run_cli("classify", str(song), "--model", "nightingale", home=tmp_path), status=1)

    assert "nightingale" in said


def test_unreadable_pack(tmp_path: Path, pack: Path, song: Path) -> None:
    (pack / "pack.toml").write_bytes(b"\x00\xff not TOML")

    said = sentence(run_cli("classify", str(song), "--model", str(pack), home=tmp_path), status=1)

    assert "pack.toml" in said


def test_pack_with_a_key_missing(tmp_path: Path, pack: Path, song: Path) -> None:
    manifest = pack / "pack.toml"
    kept = [line for line in manifest.read_text().splitlines(keepends=True) if not line.startswith("rate ")]
    manifest.write_text("".join(kept))

    said = sentence(run_cli("classify", str(song), "--model", str(pack), home=tmp_path), status=1)

    assert "rate" in said


def test_pack_whose_model_was_changed(tmp_path: Path, pack: Path, song: Path) -> None:
    model = pack / "model.onnx"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)

    said = sentence(run_cli("classify", str(song), "--model", str(pack), home=tmp_path), status=1)

    assert "model.onnx" in said
    assert "sha256" in said


def test_pack_with_a_file_missing(tmp_path: Path, pack: Path, song: Path) -> None:
    (pack / "labels.csv").unlink()

    said = sentence(run_cli("classify", str(song), "--model", str(pack), home=tmp_path), status=1)

    assert "labels.csv" in said


def test_busy_port(tmp_path: Path, pack: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        port = owner.getsockname()[1]
        done = run_cli("run", "--source", "demo", "--model", str(pack), "--port", str(port), home=tmp_path)

    assert str(port) in sentence(done, status=75)


def test_bind_beyond_loopback_without_a_token(tmp_path: Path, pack: Path, free_port: int) -> None:
    args = ("run", "--source", "demo", "--model", str(pack), "--host", "0.0.0.0", "--port", str(free_port))

    assert "token" in sentence(run_cli(*args, home=tmp_path), status=78)


@pytest.fixture
def alsa(tmp_path: Path) -> Path:
    """An ALSA configuration without any device, whatever the machine has; a test may add its own."""
    if find_library("portaudio") is None:
        pytest.skip("PortAudio is not installed (Debian: libportaudio2)")
    config = tmp_path / "asound.conf"
    config.write_text("pcm.absent { type hw card 31 }\n")  # without any entry PortAudio aborts the process
    return config


@pytest.mark.parametrize(
    ("pcm", "words"),
    [
        ("", "no audio input device"),
        (
            "pcm.silentmic { type file slave.pcm null file /dev/null infile /dev/zero format raw }\n",
            "no audio input is called 'no such microphone'; there are: silentmic, ALSA",
        ),
    ],
)
def test_an_unknown_device_is_told_and_waited_for(
    daemon: StartDaemon, pack: Path, alsa: Path, pcm: str, words: str
) -> None:
    alsa.write_text(f"</usr/share/alsa/alsa.conf>\n{pcm}")
    args = ("--source", "device:no such microphone", "--model", str(pack))

    running = daemon(*args, env={"ALSA_CONFIG_PATH": str(alsa)}, ready=False)

    running.wait_for("no such microphone: lost: not there since the start", READY_S)
    assert words in running.stderr
    assert running.get("/healthz")[0] == 503


def test_provider_that_does_not_work_here(tmp_path: Path, pack: Path, song: Path) -> None:
    args = ("classify", str(song), "--model", str(pack), "--provider", "cuda")

    said = sentence(run_cli(*args, home=tmp_path, env={"CUDA_VISIBLE_DEVICES": ""}), status=1)

    assert "cuda" in said.lower()


def test_unknown_kind_of_source(tmp_path: Path, pack: Path) -> None:
    said = sentence(run_cli("run", "--source", "tape:3", "--model", str(pack), home=tmp_path), status=2)

    assert "tape" in said


@pytest.mark.parametrize("command", [["run"], ["classify"], ["listen"], ["models", "list"], ["doctor"], ["devices"]])
def test_unknown_option(tmp_path: Path, command: list[str]) -> None:
    said = sentence(run_cli(*command, "--frobnicate", home=tmp_path), status=2)

    assert "--frobnicate" in said
    assert f"streamclf {' '.join(command)} --help" in said


def test_unknown_command(tmp_path: Path) -> None:
    assert "frobnicate" in sentence(run_cli("frobnicate", home=tmp_path), status=2)


def test_unknown_configuration_key_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "streamclf.toml"
    file.write_text('soruce = ["demo"]\n')

    said = sentence(run_cli("run", "--config", str(file), home=tmp_path), status=78)

    assert str(file) in said
    assert "soruce" in said
    assert "did you mean source?" in said


def test_configuration_file_that_is_not_toml(tmp_path: Path) -> None:
    file = tmp_path / "streamclf.toml"
    file.write_text("source: [demo]\n")

    assert str(file) in sentence(run_cli("run", "--config", str(file), home=tmp_path), status=78)


def test_configuration_value_of_the_wrong_type(tmp_path: Path) -> None:
    file = tmp_path / "streamclf.toml"
    file.write_text('[server]\nport = "eight"\n')

    assert "server.port" in sentence(run_cli("run", "--config", str(file), home=tmp_path), status=78)


def test_files_that_everybody_can_write(tmp_path: Path) -> None:
    config, rules = tmp_path / "streamclf.toml", tmp_path / "rules.toml"
    for file in (config, rules):
        file.write_text("")
        file.chmod(0o666)

    for command in (["run", "--config"], ["config", "check"], ["rules", "check", str(rules), "--config"]):
        assert f"chmod o-w {config}" in sentence(run_cli(*command, str(config), home=tmp_path), status=78)
    config.chmod(0o644)
    assert f"chmod o-w {rules}" in sentence(run_cli("rules", "check", str(rules), home=tmp_path), status=78)


def test_missing_configuration_file(tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"

    assert str(absent) in sentence(run_cli("run", "--config", str(absent), home=tmp_path), status=78)


def test_unknown_environment_variable_names_the_nearest(tmp_path: Path) -> None:
    said = sentence(run_cli("run", home=tmp_path, env={"STREAMCLF_PROVDIER": "cpu"}), status=78)

    assert "STREAMCLF_PROVDIER" in said
    assert "STREAMCLF_PROVIDER?" in said


def test_config_check_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "streamclf.toml"
    file.write_text("[server]\nprot = 8000\n")

    said = sentence(run_cli("config", "check", str(file), home=tmp_path), status=78)

    assert "did you mean server.port?" in said


def test_config_check_reads_the_rules_that_it_names(tmp_path: Path) -> None:
    file, rules = tmp_path / "streamclf.toml", tmp_path / "rules.toml"
    file.write_text(f'rules = "{rules}"\n')

    absent = sentence(run_cli("config", "check", str(file), home=tmp_path), status=78)
    rules.write_text('[[rule]]\nname = "a"\n')
    wrong = sentence(run_cli("config", "check", str(file), home=tmp_path), status=78)

    assert absent == f"rules file {rules} does not exist; make it, or check the path"
    assert wrong.startswith(f'{rules}:1: rule "a": has no labels')


def test_listening_where_nobody_serves(tmp_path: Path, free_port: int) -> None:
    args = ("listen", "--url", f"ws://127.0.0.1:{free_port}/v1", "--no-reconnect")

    said = sentence(run_cli(*args, home=tmp_path), status=1)

    assert str(free_port) in said


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_daemon_with_a_sentence(daemon: StartDaemon, pack: Path, sig: signal.Signals) -> None:
    running = daemon("--source", "demo", "--model", str(pack))

    before = len(running.stderr.splitlines())

    status = running.stop(sig)

    assert status == 0
    # a source or a slow machine may have a sentence of its own in between
    after = running.stderr.splitlines()[before:]
    assert sum("stopping" in line for line in after) == 1, after
    assert "Traceback" not in running.stderr


def test_ctrl_c_ends_a_classification_with_a_sentence(tmp_path: Path, pack: Path, song: Path) -> None:
    long = tmp_path / "long.flac"
    soundfile.write(long, np.zeros(16_000 * 1800, dtype=np.int16), 16_000)
    command = [sys.executable, "-m", "streamclf", "classify", str(song), str(long), "--scores", "--model", str(pack)]
    with hearing_ctrl_c():
        process = subprocess.Popen(
            command, env=clean_env(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    with process:
        assert process.stdout is not None
        assert song.name in process.stdout.readline()  # so the long one has begun
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)

    # click leaves a blank line, so that the sentence does not follow "^C" on a terminal
    sentence(subprocess.CompletedProcess(command, process.returncode, "", stderr.lstrip()), status=130)


def test_a_second_daemon_on_the_port_leaves_the_first_one_alone(
    tmp_path: Path, daemon: StartDaemon, pack: Path
) -> None:
    first = daemon("--source", "demo", "--model", str(pack))
    args = ("run", "--source", "demo", "--model", str(pack), "--port", str(first.port))

    assert str(first.port) in sentence(run_cli(*args, home=tmp_path), status=75)
    assert first.get("/healthz")[0] == 200


def test_pack_folder_that_is_not_there(tmp_path: Path, pack: Path, song: Path) -> None:
    shutil.rmtree(pack)

    said = sentence(run_cli("classify", str(song), "--model", str(pack), home=tmp_path), status=1)

    assert str(pack) in said


@pytest.mark.parametrize("command", [[], ["models"], ["config"]])
def test_a_command_without_its_subcommand_shows_its_help_as_it_is(tmp_path: Path, command: list[str]) -> None:
    done = run_cli(*command, home=tmp_path)

    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith(" ".join(["Usage: streamclf", *command]))
    assert "Commands:" in done.stderr.splitlines()
