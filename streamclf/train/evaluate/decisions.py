"""Thresholds for a pack with a row every 20 ms, chosen on recordings that neither taught it nor will judge it."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from streamclf.audio.sources.file import open_blocks
from streamclf.engine.deciding import decide, default_decision
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.engine.segment import Segmenter
from streamclf.model.pack import Pack, Segmentation
from streamclf.train.data.annotations import Recording
from streamclf.train.data.tasks import Task, frame_targets
from streamclf.train.evaluate.heldout import live_engine
from streamclf.train.evaluate.merit import Bools
from streamclf.types import F32, FrameScores, Stage

_THRESHOLDS = tuple(step / 20 for step in range(2, 19))


def choose(folder: Path, recordings: Sequence[Recording], task: Task) -> Segmentation:
    """The decisions of the pack in `folder` with those thresholds under which its events agree best with the spans.

    Best is the highest F1 of frames, all labels together; of equals, the nearest to the pack's own. First `enter` is
    sought, `leave` following it in the pack's ratio, then `leave`. The durations stay what they are.
    """
    engine = live_engine(folder)
    pack = engine.runners[0].pack
    heard = [_rows(engine, recording) for recording in recordings]
    true = [frame_targets(r, task, len(rows), first=at) > 0 for r, (at, rows) in zip(recordings, heard, strict=True)]
    own = pack.manifest.segmentation

    def best(candidates: list[Segmentation]) -> Segmentation:
        def worth(one: Segmentation) -> tuple[float, float]:
            said = [_said(pack, one, rows) for _, rows in heard]
            return _f1(pack, true, said), -abs(one.enter - own.enter) - abs(one.leave - own.leave)

        return max(candidates, key=worth)

    ratio = own.leave / own.enter
    entering = best([msgspec.structs.replace(own, enter=p, leave=round(p * ratio, 3)) for p in _THRESHOLDS])
    return best([msgspec.structs.replace(entering, leave=p) for p in _THRESHOLDS if p <= entering.enter])


def _rows(engine: Engine, recording: Recording) -> tuple[int, F32]:
    """The first frame that got a final row, and all such rows: (frames, classes)."""
    rate, _, blocks = open_blocks(recording.path)
    final = [
        output
        for outputs in run_blocks(engine, "validation", rate=rate, blocks=blocks)
        for output in outputs
        if isinstance(output, FrameScores) and output.final
    ]
    # a recording shorter than a pack's step may get none
    none = np.zeros((0, len(engine.runners[0].pack.labels)), dtype=np.float32)
    return final[0].first_frame if final else 0, np.concatenate([none, *(output.rows for output in final)])


def _said(pack: Pack, segmentation: Segmentation, rows: F32) -> Bools:
    """(frames, classes): where an event of the class is, were these the pack's decisions."""
    default = default_decision(msgspec.structs.replace(pack.manifest, segmentation=segmentation))
    segmenter = Segmenter("validation", pack.manifest.name, pack.labels, decide(pack.labels, default, per_label={}))
    column = {label.id: at for at, label in enumerate(pack.labels)}
    said = np.zeros(rows.shape, dtype=np.bool_)
    for event in [*segmenter.push(0, rows), *segmenter.finish()]:
        if event.stage is Stage.CLOSE:
            said[event.onset_frame : event.offset_frame, column[event.label]] = True
    return said


def _f1(pack: Pack, true: Sequence[Bools], said: Sequence[Bools]) -> float:
    """Of frames, over the labels that have events."""
    shown = [not label.hidden for label in pack.labels]
    right = sum(int((one & other)[:, shown].sum()) for one, other in zip(true, said, strict=True))
    both = sum(int(each[:, shown].sum()) for each in (*true, *said))
    return 2 * right / max(1, both)
