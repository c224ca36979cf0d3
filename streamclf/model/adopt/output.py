"""What comes out of a graph: a row of scores for a window, or one for each 20 ms of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import TensorProto

from streamclf.clock import FRAME_MS, hop_of
from streamclf.errors import PackError
from streamclf.model.adopt.asked import Sizes, Value
from streamclf.model.adopt.ends import Ends
from streamclf.model.adopt.input import Fed

_FEWER = 2  # frames that an encoder without padding leaves out at the end of its window


@dataclass(frozen=True, slots=True)
class RunRows:
    """rows: of a run. framed: whether there is an axis of rows. batch: whether any number of windows goes in."""

    rows: int
    framed: bool
    batch: bool
    notes: tuple[str, ...] = ()


def fit(ends: Ends, scores: Value, sizes: Sizes, classes: int, *, fed: Fed, rate: int, stateful: bool) -> RunRows:
    """Change the graph's output to one of a pack: (B, classes) or (B, F, classes). sizes: of the output for a batch
    of 1. Raises `PackError` where it is neither."""
    first: str | int = "batch" if fed.batch else 1
    batch = True
    if scores.kind != TensorProto.FLOAT:
        ends.cast_output([first, *(size or "any" for size in sizes[1:])])
    if len(sizes) == 1:  # no axis of the batch, or none of the classes
        batch = classes == 1 and fed.batch
        ends.shape_output([-1, 1] if batch else [1, -1], [first if batch else 1, classes])
        return RunRows(1, False, batch)
    rows, turned = _axes(scores, sizes, classes)
    if len(sizes) == 2 and rows is None:
        return RunRows(1, False, batch)
    if rows is None or rows == 1:
        ends.shape_output([0, classes], [first, classes])
        return RunRows(1, False, batch)
    if len(sizes) == 2:  # rows without an axis of the batch
        batch, first = False, 1
        ends.shape_output([1, rows, classes], [first, rows, classes])
    elif turned:
        ends.turn_output((0, 2, 1), [first, rows, classes])
    elif len(sizes) == 4:
        ends.shape_output([0, rows, classes], [first, rows, classes])
    hop = hop_of(rate)
    if stateful:
        if fed.step != rows * hop:
            raise PackError(f"a run of {fed.step} samples gives {rows} rows, which are not of {FRAME_MS} ms each; "
                            f"expected a step of {rows * hop} samples")  # fmt: skip
        return RunRows(rows, True, batch)
    wanted, notes = _on_grid(ends, rows, fed.window // hop, classes, first)
    return RunRows(wanted, True, batch, notes)


def _axes(scores: Value, sizes: Sizes, classes: int) -> tuple[int | None, bool]:
    """(rows of a run, None where there is no axis of them; whether that axis stands last)."""
    inner = [size for size in sizes[1:] if size != 1]
    if len(sizes) == 2 and sizes[1] in (None, classes):
        return (None, False) if sizes[0] in (None, 1) else (sizes[0], False)
    if (not inner and classes == 1) or inner in ([classes], [None]):
        return None, False
    if len(inner) == 1 and classes == 1 and inner[0] is not None:  # one class, its axis of 1 before or behind
        return inner[0], sizes[-1] != 1
    if len(sizes) == 3 and len(inner) == 2:
        if inner[1] in (None, classes) and inner[0] is not None:
            return inner[0], False
        if inner[0] == classes and inner[1] is not None:
            return inner[1], True
    if len(sizes) == 4 and len(inner) == 2 and inner[1] == classes and inner[0] is not None:
        return inner[0], False
    raise PackError(
        f"it gives {scores.shown}, and the file of labels has {classes} labels; expected (batch, {classes}) or "
        f"(batch, rows, {classes}) with a known number of rows, so export it with windows of a fixed length"
    )


def _on_grid(ends: Ends, rows: int, frames: int, classes: int, first: str | int) -> tuple[int, tuple[str, ...]]:
    """Rows of 20 ms out of those of another stride. frames: whole ones of a window. Returns how many there are now."""
    sizes: list[str | int] = [first, frames, classes]
    times = round(rows / frames)
    if frames - _FEWER <= rows <= frames:
        return rows, ()
    if rows == frames + 1:
        ends.pick_rows(range(frames), sizes)
        return frames, (f"of its {rows} rows the last lies beyond the window's {frames} frames and is left out",)
    if times >= 2 and frames - _FEWER <= rows // times <= frames + 1:
        kept = min(frames, rows // times)
        ends.average_rows(kept, times, classes, [first, kept, classes])
        return kept, (f"of its {rows} rows each {times} become one of {FRAME_MS} ms, their mean",)
    ends.pick_rows(picked(rows, frames), sizes)
    return frames, (f"its {rows} rows a window are laid on {frames} frames of {FRAME_MS} ms, each taking the nearest",)


def picked(rows: int, frames: int) -> Sequence[int]:
    """Of evenly spaced rows the one in whose part of the window the middle of each frame lies."""
    return [min(rows - 1, int((frame + 0.5) * rows / frames)) for frame in range(frames)]
