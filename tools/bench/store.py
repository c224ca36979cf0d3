"""What keeping costs: python tools/bench/store.py [--folder DIR]. Score rows need the pack yamnet for their figures."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from streamclf.config import ClipsConfig, ScoresConfig, StoreConfig, load
from streamclf.engine.build import build_engine
from streamclf.engine.offline import run_blocks
from streamclf.engine.segment import Decision
from streamclf.errors import PackError
from streamclf.store.database import Store
from streamclf.store.events import StoredEvent, put_events, query
from streamclf.store.packfacts import PackFacts
from streamclf.store.retention import Retention
from streamclf.store.scores import ScoreLog
from streamclf.types import F32, FrameScores, Label, Levels

START_NS = 1_700_000_000 * 10**9
EVENTS = 100_000
DEMO = Path(__file__).resolve().parents[2] / "streamclf" / "audio" / "demo" / "birds_10s.flac"
SECONDS = 300


def event(number: int) -> StoredEvent:
    """An event a second, of one of 50 labels."""
    at_ns = START_NS + number * 10**9
    return StoredEvent(
        id=f"0123456789abcdef/garden/yamnet/label_{number % 50}/{number}", stream="garden", pack="yamnet",
        pack_hash="ab" * 32, label=f"label_{number % 50}", group="bird", stage="close", onset_frame=number * 50,
        offset_frame=number * 50 + 40, onset_ns=at_ns, offset_ns=at_ns + 8 * 10**8, decided_ns=at_ns + 10**9,
        peak=0.3 + 0.6 * (number % 97) / 97, mean=0.4, enter=0.3, leave=0.2, min_on_ms=100, min_off_ms=300,
        level_db=-40.0, ended_by="quiet",
    )  # fmt: skip


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the time of a block in ms."""
    start, cpu = time.perf_counter(), time.thread_time()
    yield
    cpu = (time.thread_time() - cpu) * 1000
    print(f"{what}: {(time.perf_counter() - start) * 1000:.1f} ms, CPU {cpu:.1f} ms")


def events(folder: Path) -> None:
    """Commits, searches and a round of retention."""
    store = Store.open(folder)
    took, cpu = [], time.thread_time()
    for number in range(500):
        start = time.perf_counter()
        with store.transaction() as tx:
            put_events(tx, [event(number)])
        took.append((time.perf_counter() - start) * 1000)
    cpu = (time.thread_time() - cpu) / 500 * 1e6
    p99 = statistics.quantiles(took, n=100)[98]
    print(f"one event, on the disk: p50 {statistics.median(took):.2f} ms, p99 {p99:.2f} ms, CPU {cpu:.0f} us")
    for first in range(500, EVENTS, 20_000):
        with store.transaction() as tx:
            put_events(tx, map(event, range(first, min(first + 20_000, EVENTS))))
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{EVENTS} events: {size / EVENTS:.0f} bytes each")
    day_ns = 86_400 * 10**9
    with timed("an hour of them"):
        query(store.connection, since_ns=START_NS + day_ns, until_ns=START_NS + day_ns + 3600 * 10**9)
    with timed("the newest 100 of one label over 0.8"):
        query(store.connection, labels=["label_7"], min_peak=0.8, limit=100)
    with timed("the next page of 100"):
        query(store.connection, after_seq=EVENTS // 2, limit=100)
    retention = Retention(store, StoreConfig(ballast_mb=0, headroom_mb=1), ScoresConfig(), ClipsConfig())
    with timed("retention, nothing to delete"):
        retention.trim(START_NS + day_ns)
    with timed("a step of retention, 500 events deleted"):
        retention.trim(START_NS + 367 * day_ns)
    store.close()


def rows_of_birds() -> F32:
    """(frames, 521): every row of the demo recording, over faint noise of its own each time round."""
    engine = build_engine(load(flags={"model": ("yamnet",), "hop_ms": 20}, environ={}))
    sound, rate = soundfile.read(DEMO, dtype="float32")
    rng = np.random.default_rng(0)
    blocks = (sound + rng.normal(0, 0.003, len(sound)).astype(np.float32) for _ in range(4))
    outputs = (o for some in run_blocks(engine, "demo", rate=rate, blocks=blocks) for o in some)
    return np.concatenate([o.rows for o in outputs if isinstance(o, FrameScores)])


def scores(folder: Path, rows: F32, name: str, *, top_k: int = 0) -> None:
    """Five minutes of rows as they come live, one at a time, with their levels."""
    classes = rows.shape[1]
    facts = PackFacts.of("ab", [Label(f"c{i}", "") for i in range(classes)], [Decision(0.3, 0.2)] * classes)
    log = ScoreLog(folder / name, "run", {"yamnet": facts}, top_k=top_k)
    epochs = {"mic": START_NS}
    rng = np.random.default_rng(1)
    rms = rng.uniform(0.005, 0.02, SECONDS * 50).astype(np.float32)
    cpu = time.thread_time()
    for frame in range(SECONDS * 50):
        row = rows[frame % len(rows)][np.newaxis]
        level = rms[frame : frame + 1]
        log.take([Levels("mic", frame, level, level), FrameScores("mic", "yamnet", frame, row, True, 0)], epochs)
    log.close()
    cpu = time.thread_time() - cpu
    size = sum(path.stat().st_size for path in (folder / name).rglob("*.scores"))
    print(f"score rows, {name}: {size / SECONDS * 86_400 / 1e6:.0f} MB a day, {cpu / SECONDS * 100:.2f} % of a core")


def main() -> None:
    """Print a line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default the system's temporary folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        events(Path(folder) / "events")
        try:
            rows = rows_of_birds()
        except PackError as fault:
            print(f"score rows: skipped, {fault}")
            return
        loudest = np.sort(np.argsort(-rows.mean(axis=0))[:30])
        scores(Path(folder), rows[:, loudest], "the 30 likeliest classes of yamnet")
        scores(Path(folder), rows, "all 521 classes of yamnet")
        scores(Path(folder), rows, "the best 10 of 521", top_k=10)


if __name__ == "__main__":
    main()
