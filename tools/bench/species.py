"""What species cost and how well they are timed: `python -m tools.bench.species RECORDINGS [--pack birdnet]`.

RECORDINGS is the data folder (`ambience`, `soundscapes`, `animal_song`, `more/bird`). Three figures: CPU of one stream
with the gate of the pack and without, on a garden recording; what the gate costs in recall, over the first 3 s of each
recording; and onsets against where the sound begins, of songs that are put into other sound at known times.
"""

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import soundfile
import soxr

from streamclf.config import Config
from streamclf.engine.batch import PackRunner
from streamclf.engine.build import load_packs
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.model.fusedsession import open_session
from streamclf.model.pack import Pack
from streamclf.types import F32, Event, FrameScores, Output, Stage

RATE = 48_000
FRAME = RATE // 50
SURE = 0.5


def sound(path: Path, seconds: float) -> F32:
    """(n, ) float32 at 48 kHz."""
    with soundfile.SoundFile(path) as file:
        samples = file.read(int(seconds * file.samplerate), dtype="float32", always_2d=True)
        return np.asarray(soxr.resample(samples.mean(axis=1), file.samplerate, RATE), dtype=np.float32)


def blocks(samples: F32) -> Iterator[F32]:
    """As a microphone would give them."""
    return (samples[at : at + FRAME] for at in range(0, len(samples), FRAME))


class Hearer:
    """An engine with the pack, its gate open or not."""

    def __init__(self, pack: Pack, *, gated: bool) -> None:
        self.runner = PackRunner(pack, open_session(pack))
        self.runner.gates = gated
        self.engine = Engine([self.runner])
        self._count = 0

    def hear(self, samples: F32) -> list[Output]:
        """All that comes of it."""
        self._count += 1
        outputs = run_blocks(self.engine, f"s{self._count}", rate=RATE, blocks=blocks(samples))
        return [one for some in outputs for one in some]

    @property
    def spared(self) -> int:
        """Windows that were not run."""
        return sum(graph.spared for graph in self.runner.graphs)


def cost(pack: Pack, path: Path, seconds: float) -> None:
    """CPU of one stream, in per cent of a core."""
    samples = sound(path, seconds)
    length = len(samples) / RATE
    for gated in (False, True):
        listener = Hearer(pack, gated=gated)
        begin = time.thread_time()
        listener.hear(samples)
        used = time.thread_time() - begin
        name = "gated" if gated else "every window"
        print(f"{path.name} {length:.0f} s, {name}: {100 * used / length:.1f} % of a core, {listener.spared} spared")


def best(outputs: Sequence[Output]) -> tuple[float, int]:
    """(highest probability, its column) of all rows."""
    rows = np.concatenate([one.rows for one in outputs if isinstance(one, FrameScores)]).max(axis=0)
    return float(rows.max()), int(rows.argmax())


def recall(pack: Pack, paths: Sequence[Path]) -> None:
    """Of first windows in which the pack is sure of a species, how many the gate lets through."""
    shut, open_ = Hearer(pack, gated=True), Hearer(pack, gated=False)
    sure = kept = whole = 0
    for path in paths:
        samples = sound(path, 3.0)
        if len(samples) < 3 * RATE:
            continue
        whole += 1
        spared = shut.spared
        if best(open_.hear(samples))[0] >= SURE:
            sure += 1
            shut.hear(samples)
            kept += shut.spared == spared
        else:
            shut.hear(samples)
    print(
        f"gate: {kept} of {sure} windows with a species at {SURE:g} or above are run, {shut.spared} of {whole} spared"
    )


def trimmed(samples: F32) -> F32:
    """From the first frame that is within 20 dB of the loudest, 3 s of it."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    level = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    first = int(np.flatnonzero(level >= level.max() - 20)[0])
    return samples[first * FRAME : first * FRAME + 3 * RATE]


def known(pack: Pack, paths: Sequence[Path], most: int) -> list[tuple[F32, int]]:
    """The first 3 s of the songs that the pack names, and the columns of what it says."""
    listener, found = Hearer(pack, gated=True), []
    for path in paths:
        song = trimmed(sound(path, 30.0))
        p, column = best(listener.hear(song)) if len(song) == 3 * RATE else (0.0, 0)
        if p >= 0.9:
            found.append((song * (0.2 / max(1e-6, float(np.abs(song).max()))), column))
        if len(found) == most:
            break
    return found


def onsets(pack: Pack, songs: Sequence[tuple[F32, int]], background: Path, below_db: float) -> None:
    """Each song by itself, 8 s into the background, which is so far below it."""
    listener = Hearer(pack, gated=True)
    under = sound(background, 13.0)
    under /= float(np.sqrt(np.square(under).mean()))
    errors, decided = [], []
    for song, column in songs:
        scene = under * (10 ** (-below_db / 20) * float(np.sqrt(np.square(song).mean())))
        scene[8 * RATE : 11 * RATE] += song
        events = [one for one in listener.hear(scene) if isinstance(one, Event) and one.label == pack.labels[column].id]
        opened = next((one for one in events if one.stage is Stage.OPEN), None)
        if opened is not None:
            errors.append((opened.onset_frame - 400) * 20)
            decided.append((opened.decided_frame - 400) * 20)
    told = f"{background.stem}, {below_db:g} dB below: {len(errors)} of {len(songs)} songs told"
    if not errors:
        print(told)
        return
    size = np.abs(errors)
    print(
        f"{told}; {np.median(errors):.0f} ms from where the sound begins in the "
        f"median, {np.median(size):.0f} ms either way, {np.mean(size <= 100):.0%} within 100 ms; decided after "
        f"{np.median(decided) / 1000:.1f} s in the median, {np.max(decided) / 1000:.1f} s at most"
    )


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pack", default="birdnet")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--songs", type=int, default=40)
    asked = parser.parse_args()
    (pack,) = load_packs(Config(model=(asked.pack,)).model)
    garden, night = asked.data / "ambience" / "birds.ogg", asked.data / "ambience" / "rain.ogg"
    for path in (garden, night):
        cost(pack, path, asked.seconds)
    songs = sorted((asked.data / "more" / "bird").glob("*.*"))
    scapes = sorted((asked.data / "soundscapes").glob("*.flac"))
    recall(pack, [*scapes, *sorted((asked.data / "animal_song").glob("*.flac")), *songs])
    some = known(pack, songs, asked.songs)
    for name, below_db in (("wind", 40), ("city", 20), ("birds", 25), ("rain", 15), ("coffee-shop", 10)):
        onsets(pack, some, asked.data / "ambience" / f"{name}.ogg", below_db)


if __name__ == "__main__":
    main()
