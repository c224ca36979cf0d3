"""What nearly was an event, against the segmenter that decides what is one."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.alerts.nearest import Excerpt, Lack, near_misses
from streamclf.clock import NS_PER_FRAME
from streamclf.engine.segment import Decision, Segmenter
from streamclf.types import Label, Stage
from tests.support.laws import tries

LABELS = [Label("robin", "Robin")]
SCORES = st.lists(st.sampled_from([0.0, 0.34, 0.36, 0.49, 0.5, 0.9]), min_size=1, max_size=60)


@settings(max_examples=tries(100), deadline=None)
@given(scores=SCORES, min_on=st.integers(1, 8), cuts=st.sets(st.integers(1, 59)))
def test_nothing_is_lacking_where_the_segmenter_opens_an_event_and_only_there(
    scores: list[float], min_on: int, cuts: set[int]
) -> None:
    """However the rows are cut into blocks."""
    decision = Decision(enter=0.5, leave=0.35, min_on=min_on)
    rows = np.array(scores, dtype=np.float32)[:, np.newaxis]
    opened = [e for e in Segmenter("mic", "birds", LABELS, [decision]).push(0, rows) if e.stage is Stage.OPEN]
    edges = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
    excerpts = [
        Excerpt("mic", "birds", LABELS, [decision], first * NS_PER_FRAME, rows[first:end])
        for first, end in pairwise(edges)
    ]
    (near,) = near_misses(excerpts, top=3)
    assert (near.lack(held="") is Lack.NOTHING) == bool(opened)
    assert near.best == rows.max()
