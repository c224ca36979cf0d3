"""`streamclf listen` as a process: lines for programs, a live view for people, and a quiet end in every way."""

import asyncio
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from streamclf.serve.hub import Hub
from streamclf.types import Label, Status, StreamState
from tests.conftest import StartDaemon
from tests.support.served import served
from tests.support.serving import event, make_hub, publish, scores, stream_info
from tools.lab.daemon import Daemon, clean_env, hearing_ctrl_c, run_cli
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e

LIMIT_S = 40.0
COMMAND = [sys.executable, "-m", "streamclf", "listen"]


@pytest.fixture
def running(daemon: StartDaemon, tmp_path: Path) -> Daemon:
    """A daemon that plays the demo to a tiny pack with the labels loud, c1, c2."""
    return daemon("--source", "demo#name=garden", "--model", str(stateful_pack(tmp_path / "tiny")))


class Listener:
    """`streamclf listen ARGS` with its output in a pipe."""

    def __init__(self, *args: str, home: Path, env: Mapping[str, str] | None = None) -> None:
        with hearing_ctrl_c():
            self.process = subprocess.Popen(
                [*COMMAND, *args],
                env=clean_env(home, env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def lines(self, enough: Callable[[list[Any]], bool]) -> list[Any]:
        """Parsed lines until `enough` holds of them."""
        assert self.process.stdout is not None
        got: list[Any] = []
        deadline = time.monotonic() + LIMIT_S
        while not enough(got):
            assert time.monotonic() < deadline, f"only {len(got)} lines came"
            line = self.process.stdout.readline()
            assert line.endswith(b"\n"), f"the output ended after {len(got)} lines: {line!r}"
            got.append(json.loads(line))
        return got

    def end(self, sig: signal.Signals) -> tuple[int, bytes, bytes]:
        """Exit status, what more it wrote, and its standard error."""
        self.process.send_signal(sig)
        out, err = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, out, err


def frames_of(lines: list[Any]) -> list[int]:
    return [
        frame
        for line in lines
        if line["type"] == "scores"
        for frame in range(line["first_frame"], line["first_frame"] + line["count"])
    ]


# For programs


@pytest.mark.parametrize(("tier", "count"), [(None, 5), ("frame", 1)])
def test_every_row_of_50_a_second_comes_as_a_line_of_json(
    running: Daemon, tmp_path: Path, tier: str | None, count: int
) -> None:
    args = [] if tier is None else ["--tier", tier]
    with Listener(running.url, *args, home=tmp_path) as listener:
        lines = listener.lines(lambda lines: len(frames_of(lines)) >= 100)

    assert [line["type"] for line in lines[:2]] == ["hello", "subscribed"]
    frames = frames_of(lines)
    assert frames == list(range(frames[0], frames[0] + len(frames)))
    rows = [line for line in lines if line["type"] == "scores"]
    # the first may be the rest of a group that was under way
    assert {line["count"] for line in rows[1:]} == {count}
    assert all(line["labels"] == ["loud", "c1", "c2"] and len(line["rows"][0]) == 3 for line in rows)
    seconds = (rows[-1]["captured_ns"] - rows[0]["captured_ns"]) / 1e9
    assert (len(frames) - rows[0]["count"]) / seconds == pytest.approx(50, rel=0.01)


def test_options_choose_what_comes(running: Daemon, tmp_path: Path) -> None:
    args = ["--labels", "c1,c2", "--labels", "loud", "--stream", "garden", "--pack", "tiny-stateful", "--top-k", "1"]
    with Listener(running.url, *args, "--min-prob", "0.01", "--since", "0", home=tmp_path) as listener:
        lines = listener.lines(lambda lines: len(frames_of(lines)) >= 10)

    subscribed = lines[1]
    assert (subscribed["top_k"], subscribed["min_prob"], subscribed["since"]) == (1, 0.01, 0)
    assert subscribed["packs"] == [{"name": "tiny-stateful", "labels": ["loud", "c1", "c2"], "min_prob": 0.01}]
    assert frames_of(lines)[0] == 0
    assert all(len(line["labels"]) <= 1 for line in lines if line["type"] == "scores")


def test_a_group_is_chosen_by_name(running: Daemon, tmp_path: Path) -> None:
    with Listener(running.url, "--group", "random", "--tier", "frame", home=tmp_path) as listener:
        lines = listener.lines(lambda lines: len(frames_of(lines)) >= 2)

    assert lines[2]["labels"] == ["c1", "c2"]


def test_the_lines_are_the_messages_just_as_they_came(tmp_path: Path) -> None:
    hub = make_hub()
    publish(hub, Status("mic", StreamState.LOST, "grün [red]\n\x1b"))

    async def main() -> list[bytes]:
        async with served(hub) as server:
            with Listener(f"127.0.0.1:{server.port}", "--since", "0", home=tmp_path) as listener:
                assert listener.process.stdout is not None
                return [await asyncio.to_thread(listener.process.stdout.readline) for _ in range(3)]

    hello, subscribed, status = asyncio.run(main())

    assert json.loads(hello)["type"] == "hello"
    assert json.loads(subscribed)["type"] == "subscribed"
    expected = r'{"type":"status","stream":"mic","pack":"","state":"lost","detail":"grün [red]\n\u001b","seq":1}'
    assert status.decode() == expected + "\n"


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly_behind_a_whole_line(running: Daemon, tmp_path: Path, sig: signal.Signals) -> None:
    with Listener(running.url, home=tmp_path) as listener:
        listener.lines(lambda lines: len(lines) >= 4)

        status, rest, err = listener.end(sig)

    assert (status, err) == (0, b"")
    assert rest == b"" or rest.endswith(b"\n")


@pytest.mark.parametrize(("tier", "lines"), [("batch", 5), ("events", 2)])
def test_a_reader_that_has_had_enough_ends_it_quietly(running: Daemon, tmp_path: Path, tier: str, lines: int) -> None:
    """With `events` nothing more is written that could meet the closed pipe: silence must not keep it alive."""
    script = f'"{sys.executable}" -m streamclf listen {running.url} --tier {tier} --labels c1 | head -{lines}'

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        env=clean_env(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == lines


def test_a_full_disk_is_one_sentence(running: Daemon, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    script = f'"{sys.executable}" -m streamclf listen {running.url} > /dev/full'

    done = subprocess.run(
        ["bash", "-c", script], env=clean_env(tmp_path), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )

    assert done.returncode == 1
    assert done.stderr == "streamclf: error: standard output cannot be written: No space left on device\n"


def test_it_says_once_that_it_waits_and_goes_on_when_a_daemon_comes(
    daemon: StartDaemon, tmp_path: Path, free_port: int
) -> None:
    pack = stateful_pack(tmp_path / "tiny")
    with Listener(f"127.0.0.1:{free_port}", home=tmp_path) as listener:
        assert listener.process.stderr is not None
        waiting = listener.process.stderr.readline().decode()
        daemon("--source", "demo", "--model", str(pack), port=free_port)

        assert listener.lines(lambda lines: len(lines) >= 3)[0]["type"] == "hello"
        status, _, err = listener.end(signal.SIGINT)

    assert f"127.0.0.1:{free_port}" in waiting
    assert "waiting" in waiting
    assert (status, err) == (0, b"")


def test_without_reconnecting_it_ends_with_a_sentence(tmp_path: Path, free_port: int) -> None:
    done = run_cli("listen", f"127.0.0.1:{free_port}", "--no-reconnect", home=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert f"127.0.0.1:{free_port}" in done.stderr
    assert "Connection refused" in done.stderr


def test_without_reconnecting_it_ends_with_the_daemon(running: Daemon, tmp_path: Path) -> None:
    with Listener(running.url, "--no-reconnect", home=tmp_path) as listener:
        listener.lines(lambda lines: len(lines) >= 3)
        running.stop()
        _, err = listener.process.communicate(timeout=LIMIT_S)

    assert (listener.process.returncode, err) == (0, b"")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "birds.local:port"])
def test_an_address_that_cannot_be_used_is_a_usage_error(tmp_path: Path, url: str) -> None:
    done = run_cli("listen", url, home=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert url in done.stderr


def test_an_unknown_label_is_a_sentence_with_the_nearest(running: Daemon, tmp_path: Path) -> None:
    done = run_cli("listen", running.url, "--labels", "lou", home=tmp_path)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "did you mean 'loud'?" in done.stderr


def test_a_token_comes_from_a_file_of_mode_0600(daemon: StartDaemon, tmp_path: Path) -> None:
    pack = stateful_pack(tmp_path / "tiny")
    running = daemon("--source", "demo", "--model", str(pack), env={"STREAMCLF_TOKEN": "right-token"})
    file = tmp_path / "token"
    file.write_text("right-token\n")
    file.chmod(0o600)

    with Listener(running.url, "--token-file", str(file), home=tmp_path) as listener:
        listener.lines(lambda lines: len(lines) >= 3)

    refused = run_cli("listen", running.url, home=tmp_path)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "token" in refused.stderr

    file.chmod(0o644)
    readable = run_cli("listen", running.url, "--token-file", str(file), home=tmp_path)
    assert readable.returncode == 78
    assert "chmod 600" in readable.stderr


# For people


class Screen:
    """`streamclf listen ARGS` on a pseudo-terminal of 100 x 30. `raw` is all that it wrote."""

    def __init__(self, *args: str, home: Path, columns: int = 100, lines: int = 30) -> None:
        self.master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        env = clean_env(home, {"TERM": "xterm-256color", "LANG": "C.UTF-8", "COLUMNS": "", "LINES": ""})
        with hearing_ctrl_c():
            self.process = subprocess.Popen(
                [*COMMAND, *args], env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
            )
        os.close(slave)
        self.raw = b""

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)

    @property
    def text(self) -> str:
        """What it wrote without the terminal's own sequences (colours, places, modes)."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw.decode(errors="replace"))

    def until(self, condition: Callable[[str], bool]) -> str:
        """Reads until `condition` holds of `text`."""
        deadline = time.monotonic() + LIMIT_S
        while not condition(self.text):
            assert time.monotonic() < deadline, f"not on the screen: {self.text[-3000:]}"
            self._read(0.2)
        return self.text

    def end(self, sig: signal.Signals) -> int:
        """Its exit status; reads what it still writes."""
        self.process.send_signal(sig)
        deadline = time.monotonic() + LIMIT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self._read(0.2)
        self._read(0.0)
        return self.process.returncode

    def _read(self, timeout_s: float) -> None:
        if select.select([self.master], [], [], timeout_s)[0]:
            try:
                self.raw += os.read(self.master, 65536)
            except OSError:  # how Linux says that nobody has the other side open any more
                time.sleep(0.05)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_shows_labels_and_the_demo_aloud_and_is_left_as_it_was(
    running: Daemon, tmp_path: Path, sig: signal.Signals
) -> None:
    with Screen(running.url, home=tmp_path) as screen:
        text = screen.until(lambda text: "after the sound" in text and "Loud" in text and " %" in text)
        status = screen.end(sig)

    assert "DEMO  A recording plays in a loop (garden). This is NOT what can be heard here." in text
    assert "garden  demo" in text
    assert "Class 1" in text
    assert "connected" in text
    assert status == 0
    assert "Traceback" not in screen.text
    assert screen.raw.count(b"\x1b[?1049h") == screen.raw.count(b"\x1b[?1049l") == 1
    assert screen.raw.rfind(b"\x1b[?25h") > screen.raw.rfind(b"\x1b[?25l")


def test_a_terminal_that_can_do_nothing_gets_lines(running: Daemon, tmp_path: Path) -> None:
    with Screen(running.url, "--ndjson", home=tmp_path) as screen:
        screen.until(lambda text: '"type":"scores"' in text)

    assert "\x1b" not in screen.raw.decode()


def test_names_with_markup_and_control_characters_are_harmless(tmp_path: Path) -> None:
    labels = [
        Label("a", "[red]x[/red]"),
        Label("b", "\x1b[31mred"),
        Label("c", "\x1b]0;title\x07\u202eback"),
        Label("d", "\x9b2J"),
    ]
    packs = list(make_hub(labels=labels).packs.values())
    hub = Hub(streams=[stream_info("[bold]yard\x1b[2J")], packs=packs)
    publish(
        hub, scores(0, *[[0.9] * 4] * 5, stream="[bold]yard\x1b[2J"), event(1, label="b", stream="[bold]yard\x1b[2J")
    )

    async def main() -> Screen:
        async with served(hub) as server:
            with Screen(f"127.0.0.1:{server.port}", "--since", "0", home=tmp_path) as screen:
                await asyncio.to_thread(screen.until, lambda text: "peak" in text)
        return screen

    screen = asyncio.run(main())

    for literal in ("[red]x[/red]", "\\x1b[31mred", "\\x1b]0;title\\x07\\u202eback", "\\x9b2J", "[bold]yard\\x1b[2J"):
        assert literal in screen.text
    raw = screen.raw.decode()
    for forbidden in ("\x1b[31mred", "\x1b]", "\x07", "\x9b", "\u202e", "\x1b[2J"):
        assert forbidden not in raw


def test_a_terminal_waits_for_the_daemon_and_comes_back(daemon: StartDaemon, tmp_path: Path, free_port: int) -> None:
    pack = stateful_pack(tmp_path / "tiny")
    with Screen(f"127.0.0.1:{free_port}", home=tmp_path) as screen:
        screen.until(lambda text: "no connection, trying again" in text and "Connection refused" in text)
        daemon("--source", "demo", "--model", str(pack), port=free_port)
        screen.until(lambda text: "Loud" in text)


def test_a_refusal_is_said_below_the_terminals_own_text(running: Daemon, tmp_path: Path) -> None:
    with Screen(running.url, "--labels", "lou", home=tmp_path) as screen:
        screen.until(lambda text: "streamclf: error:" in text)
        assert screen.process.wait(LIMIT_S) == 1

    before, after = screen.raw.split(b"\x1b[?1049l")
    assert b"error" not in before
    assert b"did you mean 'loud'?" in after
