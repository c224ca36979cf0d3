"""The score log gives back what it was given: every frame where it was, every decision as it came out live."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.clock import NS_PER_FRAME
from streamclf.engine.segment import Decision, Segmenter
from streamclf.store import scores
from streamclf.store.codes import edges_of, encode, keep_top, values_of
from streamclf.store.packfacts import PackFacts
from streamclf.store.scores import ScoreLog
from streamclf.types import F32, FrameScores, Label
from tests.support.laws import tries

FAR = 1 << 62
threshold = st.floats(0.001, 0.999)


def probabilities(rows: int, classes: int, seed: int) -> F32:
    """Rows that wander through all values and often lie on a threshold's neighbours."""
    rng = np.random.default_rng(seed)
    return np.clip(np.cumsum(rng.normal(0, 0.2, (rows, classes)), axis=0) % 1.2, 0, 1).astype(np.float32)


@settings(max_examples=tries(40), deadline=None)
@given(
    pieces=st.lists(st.tuples(st.integers(1, 700), st.integers(0, 3), st.booleans()), min_size=1, max_size=6),
    classes=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_pieces_gaps_and_clock_corrections_come_back_in_their_place(
    pieces: list[tuple[int, int, bool]], classes: int, seed: int
) -> None:
    """pieces: rows, frames left out before them, whether the clock was corrected meanwhile."""
    facts = PackFacts.of("ab", [Label(f"c{i}", f"C{i}") for i in range(classes)], [Decision()] * classes)
    edges = edges_of([Decision()] * classes)
    written: dict[int, tuple[int, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        log = ScoreLog(Path(folder), "run1", {"p": facts})
        frame, epoch = 0, 1_700_000_000_000_000_000
        for rows, gap, corrected in pieces:
            frame += gap
            epoch += 1_234_567 * corrected
            block = probabilities(rows, classes, seed + frame)
            log.take([FrameScores("mic", "p", frame, block, True, 0)], {"mic": epoch})
            for index, row in enumerate(values_of(edges)[encode(block, edges)].tolist()):
                written[frame + index] = (epoch + (frame + index) * NS_PER_FRAME, row)
            frame += rows
        log.close()
        found = {
            stretch.first_frame + i: (stretch.first_ns + i * NS_PER_FRAME, row)
            for stretch in scores.read(scores.files(Path(folder)), since_ns=0, until_ns=FAR)
            for i, row in enumerate(stretch.rows.tolist())
        }

    assert found == written


@settings(max_examples=tries(60), deadline=None)
@given(enter=threshold, ratio=st.floats(0.3, 1.0), other=threshold, seed=st.integers(0, 2**32 - 1))
def test_events_of_logged_rows_are_the_events_of_live_rows(enter: float, ratio: float, other: float, seed: int) -> None:
    decisions = [Decision(enter, enter * ratio, 2, 3), Decision(other, other * ratio, 1, 1)]
    labels = [Label("a", "A"), Label("b", "B")]
    live = probabilities(400, 2, seed)
    live[::7] = np.float32(enter)  # exactly on the threshold, as a saturated class is
    live[::11] = np.nextafter(np.float32(enter), np.float32(0))
    edges = edges_of(decisions)
    logged = values_of(edges)[encode(live, edges)]

    def found(rows: F32) -> list[tuple[str, str, int, int | None]]:
        segmenter = Segmenter("s", "p", labels, decisions)
        events = segmenter.push(0, rows) + segmenter.finish()
        return [(e.label, e.stage, e.onset_frame, e.offset_frame) for e in events]

    assert found(logged) == found(live)
    assert np.abs(logged - live).max() <= 0.005


@given(rows=st.integers(1, 20), classes=st.integers(1, 12), count=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_top_k_keeps_the_highest_of_each_row(rows: int, classes: int, count: int, seed: int) -> None:
    live = np.random.default_rng(seed).random((rows, classes), dtype=np.float32)
    edges = edges_of([Decision()])
    codes = encode(live, edges)
    kept = keep_top(codes, live, count)

    for row, code, keep in zip(live, codes, kept, strict=True):
        best = set(np.argsort(row)[-count:].tolist())
        assert [c if i in best else 0 for i, c in enumerate(code)] == keep.tolist()


@given(st.lists(threshold, min_size=200, max_size=400))
def test_more_thresholds_than_codes_leave_an_order(thresholds: list[float]) -> None:
    edges = edges_of([Decision(enter=t, leave=t / 2) for t in thresholds])
    values = values_of(edges)
    assert len(edges) <= 255
    assert (np.diff(edges) > 0).all()
    assert (encode(values, edges) == np.arange(len(values))).all()
