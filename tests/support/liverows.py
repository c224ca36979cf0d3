"""What the engine says of a signal, and where a row stands by the definition in `model/pack.py`."""

import itertools
from collections.abc import Iterator

import numpy as np

from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.engine.track import TrackOptions
from streamclf.model.pack import Manifest, Pack
from streamclf.model.session import Session
from streamclf.types import F32, FrameScores, Provider, Shape

HOP = 320


def live(pack: Pack, audio: F32, sizes: list[int]) -> F32:
    """The final row of every frame, (frames, classes), by the engine on blocks of these sizes, over and over."""
    engine = Engine([PackRunner(pack, Session(pack, provider=Provider.CPU))], options=TrackOptions(latency_ms=0))
    outputs = [o for part in run_blocks(engine, "s", rate=pack.manifest.rate, blocks=_cut(audio, sizes)) for o in part]
    final = [o for o in outputs if isinstance(o, FrameScores) and o.final]
    firsts = np.cumsum([final[0].first_frame, *(len(o.rows) for o in final)])[:-1]
    assert [o.first_frame for o in final] == list(firsts), "no frame may be missing or told twice"
    return np.concatenate([o.rows for o in final])


def placed(manifest: Manifest, native: F32, samples: int) -> F32:
    """The row of every frame that has one, from native rows (runs, F, classes), by the definition, frame by frame."""
    rows = []
    for frame in range(-(-samples // HOP)):
        due = (frame + 1) * HOP + manifest.look_ahead
        if manifest.shape is Shape.WINDOW_FRAMES:
            run = max(0, frame - manifest.rows_per_window + 1)
            rows.append(native[run, frame - run])
        elif manifest.shape is Shape.WINDOW_ROW:
            rows.append(native[max(n for n in range(len(native)) if n == 0 or n * HOP + manifest.window <= due), 0])
        else:
            pairs = itertools.product(range(len(native)), range(manifest.rows_per_window))
            ready = [(n, j) for n, j in pairs if (n + 1) * manifest.step + j * HOP <= due]
            rows += [native[max(ready)]] if ready else []
    return np.stack(rows)


def _cut(audio: F32, sizes: list[int]) -> Iterator[F32]:
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(audio):
            return
        yield audio[at : at + size]
        at += size
