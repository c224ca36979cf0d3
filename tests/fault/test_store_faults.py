"""A daemon whose store is taken away or damaged: it says so, goes on listening, and loses nothing that it still hears.

All of it is real: the daemon, a file system that becomes read-only by an error, one that is unmounted, deleted files.
"""

import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.store.database import FILE_NAME, Store, reader
from streamclf.store.events import put_events, query
from tests.support.disks import mounted, run
from tests.support.storing import stored
from tools.lab.daemon import Daemon, clean_env, free_port, start_daemon
from tools.lab.load import patience
from tools.lab.receiver import WebhookReceiver, http_receiver
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")


def until(there: Callable[[], object], what: str, *, limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s * patience()
    while not there():
        assert time.monotonic() < deadline, f"it never came to that: {what}"
        time.sleep(0.05)


class Listener:
    """A daemon that hears a sound each second, with an alert for each of them. folder: its store."""

    def __init__(self, home: Path, folder: Path, receiver: WebhookReceiver) -> None:
        self.folder = folder
        self.receiver = receiver
        sound = np.concatenate([np.random.default_rng(0).uniform(-0.6, 0.6, RATE // 2), np.zeros(RATE // 2)])
        soundfile.write(home / "sound.wav", np.tile(sound.astype(np.float32), 10), RATE)
        (home / "rules.toml").write_text(
            f'[sink.hook]\ntype = "webhook"\nurl = "{receiver.url}"\nprivate = true\n'
            '[[rule]]\nname = "each"\nlabels = ["loud"]\nsinks = ["hook"]\n'
        )
        self._home = home
        self._args = [
            "--source",
            f"file:{home}/sound.wav#loop=yes&name=mic",
            "--model",
            str(stateful_pack(home / "pack")),
        ]
        self.daemon = self._start()

    def __enter__(self) -> "Listener":
        """Returns once it answers; healthy it need not be."""
        until(self._answers, "the daemon answers")
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.kill()

    def _answers(self) -> bool:
        assert self.daemon.process.poll() is None, self.daemon.stderr
        try:
            return self.daemon.get("/livez", timeout_s=1.0)[0] == 200
        except OSError:
            return False

    def _start(self) -> Daemon:
        more = {
            "STREAMCLF_RULES": str(self._home / "rules.toml"),
            "STREAMCLF_STORE_PATH": str(self.folder),
            "STREAMCLF_STORE_HEADROOM_MB": "1",
            "STREAMCLF_STORE_BALLAST_MB": "1",
        }
        env = clean_env(self._home, more)
        return start_daemon(self._args, port=free_port(), env=env, log=self._home / "daemon")

    def problems(self) -> str:
        _, body = self.daemon.get("/healthz")
        health = json.loads(body)
        problems = "; ".join(health["problems"])
        assert not problems or health["status"] != "ok"
        return problems

    def onsets(self) -> list[int]:
        """Of the events on the disk."""
        try:
            with closing(reader(self.folder)) as connection:
                return sorted(event.onset_frame for event in query(connection) if event.stream == "mic")
        except Exception:
            return []

    def hears(self, more: int = 3) -> int:
        """Returns once so many more events are on the disk; the onset of the last one."""
        until(lambda: "live" in str(self.daemon.get_json("/healthz")["streams"]), "nothing else stops")
        before = self.onsets()
        last = before[-1] if before else -1
        until(lambda: len([onset for onset in self.onsets() if onset > last]) >= more, "events are kept")
        return self.onsets()[-1]

    def tells(self, words: str) -> None:
        """Returns once health, status and the log say so; each is asked anew, for one may be a moment behind."""
        until(lambda: words in self.problems(), f"health says {words!r}")
        until(lambda: words in self.status_problems(), f"v1/status says {words!r}")
        until(lambda: words in self.daemon.stderr, f"the log says {words!r}")

    def status_problems(self) -> str:
        return "; ".join(problem["what"] for problem in self.daemon.get_json("/v1/status")["problems"])

    def misses_nothing_after(self, onset: int) -> None:
        """Stops it; from `onset` on there is an event each second, and an alert of each of them has arrived."""
        self.hears()
        assert self.daemon.stop() == 0, self.daemon.stderr
        assert "Traceback" not in self.daemon.stderr
        with closing(reader(self.folder)) as connection:
            kept = [event for event in query(connection) if event.stream == "mic" and event.onset_frame >= onset]
        onsets = [event.onset_frame for event in kept]
        assert len(onsets) >= 3
        assert {later - earlier for earlier, later in itertools.pairwise(onsets)} == {50}, onsets
        alerted = {request.data["event"]["id"] for request in self.receiver.requests}
        # the last ones may have come too late to be sent before the end
        assert {event.id for event in kept[:-2]} <= alerted


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with http_receiver() as made:
        yield made


@pytest.fixture
def listener(tmp_path: Path, receiver: WebhookReceiver) -> Iterator[Listener]:
    with Listener(tmp_path, tmp_path / "store", receiver) as made:
        yield made


def delete_folder(folder: Path) -> None:
    with suppress(OSError):  # the daemon may make a new one before the old one is empty
        shutil.rmtree(folder)


def delete_database(folder: Path) -> None:
    (folder / FILE_NAME).unlink()


def replace_by_another(folder: Path) -> None:
    with closing(Store.open(folder.parent / "other")) as other, other.transaction() as tx:
        put_events(tx, [stored(9, stream="other")])
    (folder.parent / "other" / FILE_NAME).replace(folder / FILE_NAME)


def fill_with_noise(folder: Path) -> None:
    for name in (FILE_NAME, f"{FILE_NAME}-wal"):
        with (folder / name).open("r+b") as file:
            file.seek(100)
            file.write(os.urandom((folder / name).stat().st_size))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (delete_database, "is gone; a new one began"),
        (delete_folder, "is gone; a new one began"),
        (replace_by_another, "another file has taken the place of"),
        (fill_with_noise, "it was set aside as streamclf.db.damaged-"),
    ],
)
def test_files_that_are_deleted_replaced_or_damaged(
    fault: Callable[[Path], None], words: str, listener: Listener
) -> None:
    before = listener.hears()
    fault(listener.folder)
    listener.tells(words)

    listener.hears()
    until(lambda: listener.daemon.get("/v1/events")[0] == 200, "what is kept can be read")
    listener.misses_nothing_after(before + 50)
    assert (fault is fill_with_noise) == any("damaged" in path.name for path in listener.folder.iterdir())


def test_a_disk_that_is_unmounted_and_comes_back(tmp_path: Path, receiver: WebhookReceiver) -> None:
    """Below the place where it was mounted nothing is made, and what is heard meanwhile is written when it is there."""
    disk = tmp_path / "disk"
    with (
        mounted(tmp_path / "medium", "-t", "tmpfs", "-o", "size=40m", "tmpfs"),
        mounted(disk, "--bind", tmp_path / "medium"),
        Listener(tmp_path, disk / "store", receiver) as listener,
    ):
        before = listener.hears()
        run("umount", "--lazy", disk)
        listener.tells("events wait in memory")
        listener.tells("is not there any more; mount it again")
        until(lambda: listener.daemon.get("/v1/events")[0] == 503, "what is kept cannot be read")
        assert listener.daemon.get("/v1/events")[1].endswith(b".\n")
        assert list(disk.iterdir()) == []

        run("mount", "--bind", tmp_path / "medium", disk)
        until(lambda: "wait in memory" not in listener.problems(), "it is well again")
        listener.misses_nothing_after(before)


def test_a_file_system_that_becomes_read_only_by_an_error(tmp_path: Path, receiver: WebhookReceiver) -> None:
    """As ext4 does it by itself; then it is unmounted, repaired and mounted again, while the daemon runs."""
    disk, image = tmp_path / "disk", tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(40 << 20)
    run("mkfs.ext4", "-q", "-F", image)
    with mounted(disk, "-o", "loop,errors=remount-ro", image):
        device = run("findmnt", "--noheadings", "--output", "SOURCE", disk)
        trigger = Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip("this kernel's ext4 has no trigger_fs_error")
        with Listener(tmp_path, disk / "store", receiver) as listener:
            before = listener.hears()
            trigger.write_text("1")
            listener.tells("events cannot be written to")
            waiting = len(listener.onsets())
            time.sleep(2)  # the fault lasts
            assert "wait in memory" in listener.problems()
            assert len(listener.onsets()) <= max(waiting, 1)

            unmount = ["umount", str(disk)]  # not lazily: who repairs it finds it free
            until(lambda: not subprocess.run(unmount, check=False, capture_output=True).returncode, "it is let go")
            listener.tells("is not there any more; mount it again")
            subprocess.run(["e2fsck", "-p", str(image)], check=False, capture_output=True)
            run("mount", "-o", "loop", image, disk)
            until(lambda: "wait in memory" not in listener.problems(), "it is well again")
            listener.misses_nothing_after(before)


def test_at_the_start_a_read_only_disk_is_waited_for(tmp_path: Path, receiver: WebhookReceiver) -> None:
    disk = tmp_path / "disk"
    with (
        mounted(disk, "-t", "tmpfs", "-o", "size=40m,ro", "tmpfs"),
        Listener(tmp_path, disk / "store", receiver) as listener,
    ):
        listener.tells("Read-only file system")
        until(lambda: listener.daemon.get("/v1/events")[0] == 503, "what is kept cannot be read")
        time.sleep(2)  # it hears, and what it hears waits
        run("mount", "-o", "remount,rw", disk)
        until(lambda: "wait in memory" not in listener.problems(), "it is well again")
        listener.misses_nothing_after(0)
        assert listener.onsets()[0] < 100, "also what came before"


def test_at_the_start_a_damaged_database_is_set_aside(tmp_path: Path, receiver: WebhookReceiver) -> None:
    folder = tmp_path / "store"
    with closing(Store.open(folder)) as store, store.transaction() as tx:
        put_events(tx, map(stored, range(100)))
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(folder / FILE_NAME, 5000)
    with Listener(tmp_path, folder, receiver) as listener:
        listener.tells("it was set aside as streamclf.db.damaged-")
        listener.misses_nothing_after(0)
