"""The event store under what happens to machines: killed at any moment, and a disk that is full."""

import contextlib
import itertools
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.store.database import FILE_NAME, Store, reader
from streamclf.store.events import query
from streamclf.store.retention import BALLAST
from tests.conftest import StartDaemon
from tests.support.disks import mounted
from tools.lab.tinypack import stateful_pack

MEGABYTE = 1_000_000
KILLS = 30

# commits five events at a time and then says so; a line that was said is a promise
WRITER = """
import sys, itertools
from pathlib import Path
from streamclf.store.database import Store
from streamclf.store.events import close_stale, put_events
from tests.support.storing import stored
store = Store.open(Path(sys.argv[1]))
with store.transaction() as tx:
    close_stale(tx)
for number in itertools.count(int(sys.argv[2]), 5):
    with store.transaction() as tx:
        put_events(tx, [stored(number + i, stage=("open", "close")[i % 2]) for i in range(5)])
    print(number + 4, flush=True)
"""


@pytest.mark.timeout(300)
def test_killed_at_any_moment_no_committed_event_is_lost(tmp_path: Path) -> None:
    rng = random.Random(7)
    promised = -1
    for _ in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(promised + 1)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))  # the fault itself: any moment
        writer.send_signal(signal.SIGKILL)
        said = [int(line) for line in (first + writer.stdout.read()).splitlines(keepends=True) if line.endswith(b"\n")]
        writer.stdout.close()
        writer.wait()
        assert said, "the writer was killed before it had written anything"
        promised = said[-1]
        with closing(reader(tmp_path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            kept = {event.onset_frame // 50 for event in query(connection)}
        assert set(range(promised + 1)) <= kept
        promised = max(kept)

    with closing(Store.open(tmp_path)):
        pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 20 MB."""
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=20m", "tmpfs"):
        yield disk


def until(condition: Callable[[], object], *, limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)


@pytest.mark.e2e
@pytest.mark.timeout(240)
def test_on_a_full_disk_events_wait_and_none_is_lost(daemon: StartDaemon, tmp_path: Path, small_disk: Path) -> None:
    """Clips fill it up to the headroom and not further; then somebody else takes all the rest, and gives it back."""
    pack = stateful_pack(tmp_path / "pack")
    rng, rate = np.random.default_rng(0), 48_000
    # half a second of noise that no codec makes smaller, half a second of silence
    sound = np.concatenate([rng.uniform(-0.9, 0.9, rate // 2), np.zeros(rate // 2)]).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", np.tile(sound, 20), rate)
    (tmp_path / "config.toml").write_text(
        f"""
        source = ["file:{tmp_path}/noise.wav#loop=yes&name=a", "file:{tmp_path}/noise.wav#loop=yes&name=b"]
        fast = true
        [store]
        path = "{small_disk}/store"
        headroom_mb = 4
        ballast_mb = 2
        [clips]
        enabled = true
        pre_ms = 200
        post_ms = 200
        max_ms = 2000
        visit_ms = 0
        keep_per_label = 3
        """
    )
    store = small_disk / "store"
    env = {"STREAMCLF_STORE_PATH": str(store), "STREAMCLF_CONFIG": str(tmp_path / "config.toml")}
    running = daemon("--model", str(pack), env=env)

    def free() -> int:
        disk = os.statvfs(small_disk)
        return disk.f_bavail * disk.f_frsize

    def problems() -> str:
        return "; ".join(running.get_json("/healthz")["problems"])

    # clips have filled it, and go on being replaced
    until(lambda: re.search(r'store_deleted_total{kind="clips"} [1-9]', running.get("/metrics")[1].decode()))
    assert free() < 8 * MEGABYTE
    written = len(list((store / "clips").rglob("*.flac")))
    assert written > 20
    assert (store / BALLAST).exists()
    assert "they wait in memory" not in problems()

    # somebody else takes everything, and what is deleted to make room as well
    filler = os.open(small_disk / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def full() -> bool:
        for size in (MEGABYTE // 10, 4096):
            with contextlib.suppress(OSError):
                while os.write(filler, bytes(size)):
                    pass
        return "they wait in memory" in problems()

    until(full)
    assert not (store / BALLAST).exists()
    os.close(filler)

    # and gives it back: no restart, nothing lost
    (small_disk / "filler").unlink()
    until(lambda: not problems())
    until(lambda: (store / BALLAST).exists())
    running.stop()
    with closing(sqlite3.connect(store / FILE_NAME)) as connection:
        rows = connection.execute(
            "SELECT stream, onset_frame FROM events WHERE label = 'loud' ORDER BY stream, onset_frame"
        ).fetchall()
    for stream in ("a", "b"):
        onsets = [onset for name, onset in rows if name == stream]
        assert len(onsets) > 20
        # an event a second, without a hole
        assert {later - earlier for earlier, later in itertools.pairwise(onsets)} == {50}
    assert "Traceback" not in running.stderr
