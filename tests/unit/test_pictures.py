"""The seconds around an alert's event, out of what the hub holds."""

from typing import Any

import numpy as np
import pytest

from streamclf.daemon.pictures import around
from streamclf.errors import StreamclfError
from streamclf.features.spectrum import BANDS
from streamclf.serve.hub import Hub
from streamclf.store.events import StoredEvent
from streamclf.types import Event, Gap, Levels, Picture, Stage
from tests.support.alerts import make_event
from tests.support.serving import EPOCH_NS, HOP, make_hub, publish, scores


@pytest.fixture(scope="module")
def hub() -> Hub:
    """Stream mic: frames 0 to 4500, of which the last 3000 are held; a dog in frames 3000 to 3100; a gap before it."""
    hub = make_hub(replay_seconds=60)
    for frame in range(0, 4500, 5):
        if frame == 2800:
            publish(hub, Gap("mic", 2800 * HOP, 2850 * HOP - 1, "overrun"))
        if 2800 <= frame < 2850:
            continue
        dog = 0.9 if 3000 <= frame < 3100 else 0.0
        publish(hub, scores(frame, *[[0.0, dog, 0.0, 0.0]] * 5), scores(frame, *[[0.2]] * 5, pack="vad"))
        loud = np.full(5, 0.5, dtype=np.float32)
        publish(hub, Picture(Levels("mic", frame, loud, loud), np.full((5, BANDS), 7, np.uint8), 8000.0))
        for stage, at, end in ((Stage.OPEN, 3000, None), (Stage.CLOSE, 3100, 3100)):
            if frame == at:
                publish(hub, Event("mic", "big", "mic/big/dog/3000", "dog", stage, 3000, end, 0.9, 0.9, frame))
    return hub


def event(**fields: Any) -> StoredEvent:
    """The dog of `hub`, as the store has it."""
    values = {"id": "here/mic/big/dog/3000", "stream": "mic", "pack": "big", "label": "dog"}
    return make_event(**values | {"onset_frame": 3000, "offset_frame": 3100} | fields)


def test_five_seconds_before_to_two_behind_with_the_own_class_first(hub: Hub) -> None:
    passage = around(hub, event())()

    assert (passage.first_frame, passage.end_frame, passage.epoch_ns) == (2750, 3200, EPOCH_NS)
    assert [(lane.name, lane.pack) for lane in passage.lanes][:2] == [("Dog", "big"), ("Speech", "vad")]
    dog = passage.lanes[0]
    assert np.flatnonzero(dog.values > 0.5).tolist() == list(range(250, 350))
    assert [(bar.onset_frame, bar.offset_frame) for bar in dog.bars] == [(3000, 3100)]
    assert [(gap.first_frame, gap.end_frame) for gap in passage.breaks] == [(2800, 2850)]
    assert np.flatnonzero(~passage.drawn).tolist() == list(range(50, 100))


def test_an_event_that_lasts_is_shown_up_to_now(hub: Hub) -> None:
    passage = around(hub, event(offset_frame=None))()

    assert (passage.first_frame, passage.end_frame) == (2750, 4500)


def test_of_an_event_that_began_long_ago_is_shown_what_is_held(hub: Hub) -> None:
    passage = around(hub, event(onset_frame=1000, offset_frame=3100))()

    assert (passage.first_frame, passage.end_frame) == (1450, 3200)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"onset_frame": 100, "offset_frame": 200}, "the rows around its event are no longer held"),
        ({"id": "before/mic/big/dog/3000"}, "the event is of an earlier run of the daemon"),
        ({"stream": "attic"}, "the event is of an earlier run of the daemon"),
    ],
)
def test_what_is_gone_is_said(hub: Hub, fields: dict[str, Any], why: str) -> None:
    with pytest.raises(StreamclfError, match=why):
        around(hub, event(**fields))
