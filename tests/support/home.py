"""A home in which tasks of the documents are done as a person does them: files written, commands typed, a daemon."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamclf.audio.sources.demo import DEMO_FILE
from tests.support.documents import commands
from tools.lab.daemon import Daemon, clean_env, free_port, start_daemon
from tools.reference.tasks import SCRIPTS, Errand, Piece, read

LIMIT_S = 120.0
_ENDLESS = ("streamclf run", "streamclf listen", "python3 ")
_SHIM = '#!/bin/sh\nexec "{python}" -m streamclf "$@"\n'


@dataclass
class Home:
    """A person's home folder.

    given: what stands in place of a word of the documents here, such as an address. limit_s: of a command, on a machine
    that is busy.
    """

    folder: Path
    port: int
    env: dict[str, str]
    given: dict[str, str] = field(default_factory=dict)
    daemons: list[Daemon] = field(default_factory=list)
    limit_s: float = LIMIT_S

    def put(self, path: str, text: str) -> Path:
        """Write a file as a person does, `~` being this home; what belongs into `/etc` lands below it, too."""
        where = self.folder / path.removeprefix("~/").lstrip("/")
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)
        return where

    def here(self, text: str) -> str:
        """The text with what stands in place of its words here."""
        for word, instead in {"8765": str(self.port), **self.given}.items():
            text = text.replace(word, instead)
        return text

    def type(self, line: str, *, code: int = 0) -> str:
        """A command to its end, in a real shell, with the exit code that is expected; all that it printed."""
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=self.limit_s, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{line} ended with {done.returncode}:\n{said}"
        assert "Traceback" not in said, said
        return said

    def first_with(self, wanted: str, line: str) -> str:
        """Starts a command that never ends; the first line it prints that holds `wanted`."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {line}"], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        timer = threading.Timer(LIMIT_S, process.kill)
        timer.start()
        heard = []
        try:
            for said in process.stdout:
                heard.append(said)
                if wanted in said:
                    return said
            raise AssertionError(f"{line} never said {wanted!r}:\n{''.join(heard)}")
        finally:
            timer.cancel()
            process.send_signal(signal.SIGINT)
            process.stdout.close()
            process.wait()

    def start(self, line: str, *, wait: bool = True) -> Daemon:
        """`streamclf run …`: runs on until this home is left; waits until it is well."""
        (words,) = commands(line)
        log = self.folder / f"daemon-{len(self.daemons)}"
        daemon = start_daemon(words[2:], port=self.port, env=self.env, log=log, cwd=self.folder)
        self.daemons.append(daemon)
        if wait:
            daemon.wait_ready()
        return daemon

    def leave(self) -> None:
        """Stop what was started."""
        for daemon in self.daemons:
            daemon.stop()
            assert "Traceback" not in daemon.stderr, daemon.stderr
        self.daemons.clear()


@dataclass
class Script:
    """A task that is being done: `next` takes its steps one by one, files first where they come first."""

    task: Errand
    home: Home
    shared: bool
    _steps: Iterator[Piece | str]

    def next(self, given: Mapping[str, str] | None = None, *, until: str = "") -> str:
        """The next command, with words in place of others; what it printed. until: ends one that goes on for ever."""
        line = self._line()
        for word, instead in (given or {}).items():
            assert word in line, f"{word} is not in {line}"
            line = line.replace(word, instead)
        line = self.home.here(line)
        if line.startswith("streamclf run") and "--until-end" not in line:
            if not self.shared:
                self.home.start(line)
            return ""
        if until:
            return self.home.first_with(until, line)
        ends = "--until-end" in line or line.startswith("python3 -m venv")
        assert ends or not line.startswith(_ENDLESS), f"{line} never ends: say until when"
        return self.home.type(line)

    def skip(self) -> str:
        """The next command, which the test itself does."""
        return self.home.here(self._line())

    def _line(self) -> str:
        for step in self._steps:
            if isinstance(step, str):
                return step
            if not (self.shared and step.path.endswith("config.toml")):  # what is shared has its own, with all of it
                self.home.put(step.path, self.home.here(step.text))
        raise AssertionError(f"{self.task.name} has no further command")

    def left(self) -> list[str]:
        """Commands that were not typed."""
        return [step for step in self._steps if isinstance(step, str)]


@contextmanager
def doing(name: str, home: Home, *, shared: bool = False) -> Iterator[Script]:
    """Do a task to its last command. shared: the daemon of this home runs already, with the settings that it needs."""
    task = read(SCRIPTS / f"{name}.md")
    script = Script(task, home, shared, iter(task.steps))
    yield script
    assert script.left() == [], f"{name} has commands that nobody typed"


def new_home(folder: Path, extra: Mapping[str, str] | None = None) -> Home:
    """An empty home with a recording of birds in it, in which `streamclf` is the program under test."""
    port = free_port()
    tools = folder / ".tools"
    tools.mkdir(parents=True)
    for name, text in (("streamclf", _SHIM), ("python3", '#!/bin/sh\nexec "{python}" -u "$@"\n')):
        (tools / name).write_text(text.format(python=sys.executable))
        (tools / name).chmod(0o755)
    env = clean_env(folder, extra)
    for name in ("CONFIG", "DATA", "STATE"):
        del env[f"XDG_{name}_HOME"]  # the documents say ~/.config and ~/.local/share
    env |= {"HOME": str(folder), "PATH": f"{tools}{os.pathsep}{env['PATH']}", "STREAMCLF_SERVER_PORT": str(port)}
    shutil.copy(DEMO_FILE, folder / "garden.flac")
    return Home(folder, port, env)


def ids(table: str) -> list[str]:
    """The short ids in a table of events."""
    return re.findall(r"  ([a-p]{6})(?=  |\n|$)", table)


def wait_for(there: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not there():
        assert time.monotonic() < deadline, f"no {what} within {LIMIT_S:.0f} s"
        time.sleep(0.2)


def heard(home: Home, *, since_ns: int = 0) -> list[dict[str, Any]]:
    """The events of the daemon that began from then on and have ended, once there are some."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        events = home.daemons[0].get_json(f"/v1/events?since_ns={since_ns}")["events"]
        found[:] = [event for event in events if event["stage"] == "close"]
        return bool(found)

    wait_for(there, "event that has ended")
    return found
