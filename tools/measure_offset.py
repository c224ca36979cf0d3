"""What the removal of a constant offset does to recordings: `python -m tools.measure_offset FOLDER`.

Of recordings without an offset (mean below 3e-4) it should change none; of an offset put under them it should find all.
"""

import sys
from pathlib import Path

import numpy as np
import soundfile

from streamclf.audio.offset import OffsetRemover
from streamclf.audio.sources.recording import SUFFIXES
from streamclf.clock import FRAMES_PER_SECOND
from streamclf.types import F32

OFFSETS = (0.005, 0.02, 0.1)
_NONE = 3e-4
_LONGEST_S = 15
_LEAST_FRAMES = 2 * FRAMES_PER_SECOND


def main(folder: Path) -> None:
    """Print how many are touched, and how many offsets are found and when."""
    without = touched = 0
    found: dict[float, list[int]] = {offset: [] for offset in OFFSETS}
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    for path in files:
        sound, hop = _frames(path)
        if not len(sound) or abs(float(sound.mean())) >= _NONE:
            continue
        without += 1
        if not np.array_equal(OffsetRemover(hop).apply(sound), sound):
            touched += 1
            print(f"touched: {path.relative_to(folder)}")
        if len(sound) >= _LEAST_FRAMES * hop:
            for offset, frames in found.items():
                frames.append(_found(sound + np.float32(offset), hop))
    print(f"{len(files)} recordings, {without} of them without an offset; {touched} of these are touched")
    for offset, frames in found.items():
        heard = np.array([frame for frame in frames if frame >= 0])
        late = (
            f"half by frame {np.median(heard):.0f}, 95 % by frame {np.percentile(heard, 95):.0f}" if len(heard) else ""
        )
        print(f"offset {offset}: found in {len(heard)} of {len(frames)}, {late}")


def _frames(path: Path) -> tuple[F32, int]:
    """Mono samples of whole frames, and samples of a frame."""
    try:
        with soundfile.SoundFile(path) as file:
            hop = file.samplerate // FRAMES_PER_SECOND
            sound: F32 = file.read(_LONGEST_S * file.samplerate, dtype="float32", always_2d=True).mean(axis=1)
    except soundfile.LibsndfileError:
        return np.zeros(0, dtype=np.float32), 1
    return sound[: len(sound) // hop * hop], hop


def _found(sound: F32, hop: int) -> int:
    """The first frame behind which something is removed, -1 where that is never."""
    remover = OffsetRemover(hop)
    for at in range(0, len(sound), hop):
        remover.apply(sound[at : at + hop])
        if remover.offset:
            return at // hop
    return -1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
