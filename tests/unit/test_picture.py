"""Spectrum columns on their way to a subscriber: messages, what is held, and who is asked to draw when."""

import numpy as np
import pytest

from streamclf.clock import NS_PER_SECOND
from streamclf.features.spectrum import BANDS
from streamclf.protocol import wire
from streamclf.protocol.spectrum import Columns, decode
from streamclf.types import Levels, Picture
from tests.support.serving import EPOCH_NS, Collector, make_hub, publish, scores


def picture(frame: int, count: int = 1, *, stream: str = "mic") -> Picture:
    """Columns whose bands hold the frame's number; half of full scale, and peaks at it."""
    half, full = np.full(count, 0.5, dtype=np.float32), np.ones(count, dtype=np.float32)
    values = np.repeat(np.arange(frame, frame + count, dtype=np.uint8)[:, None], BANDS, axis=1)
    return Picture(Levels(stream, frame, half, full), values, 8000.0)


def columns(data: bytes) -> list[Columns]:
    return list(decode(data))


def test_columns_come_in_fives_with_their_levels_and_a_hole_cuts() -> None:
    hub, sink = make_hub(), Collector()
    hub.subscribe(sink, wire.Subscribe(picture=True, streams=["mic"]))
    for first, count in ((3, 1), (4, 3), (7, 4), (20, 5)):
        publish(hub, picture(first, count), picture(first, count, stream="yard"))

    told = [column for data in sink.shown for column in columns(data)]
    assert [(c.stream, c.first_frame, len(c.values)) for c in told] == [(0, 3, 2), (0, 5, 5), (0, 10, 1), (0, 20, 5)]
    assert told[0].high_hz == 8000.0
    assert told[0].values[:, 0].tolist() == [243, 243]  # -6 dB
    assert told[0].values[:, 1].tolist() == [255, 255]  # full scale
    assert told[1].values[:, 2:].tolist() == [[frame] * BANDS for frame in range(5, 10)]


def test_what_was_shown_can_be_fetched_again_as_long_as_it_is_held() -> None:
    hub, sink = make_hub(replay_seconds=60), Collector()
    hub.subscribe(sink, wire.Subscribe(picture=True))
    for frame in range(0, 3500, 5):
        publish(hub, Picture(Levels("mic", frame, np.zeros(5, np.float32), np.zeros(5, np.float32)),
                             np.full((5, BANDS), frame % 256, dtype=np.uint8), 8000.0))  # fmt: skip

    held = columns(hub.picture("mic", 0))
    assert [c.first_frame for c in held] == list(range(500, 3500, 5))
    assert [c.first_frame for c in columns(hub.picture("mic", 3491))] == [3490, 3495]
    assert hub.picture("yard", 0) == b""


def test_nobody_draws_until_somebody_looks_nor_long_after_the_last_has_left() -> None:
    asked: list[bool] = []
    hub, sink, other = make_hub(replay_seconds=60, on_picture=asked.append), Collector(), Collector()
    hub.subscribe(other, wire.Subscribe())
    assert asked == []
    hub.subscribe(sink, wire.Subscribe(picture=True))
    publish(hub, picture(0, 5))
    assert asked == [True]
    hub.detach(sink)
    publish(hub, picture(5, 5), sent_ns=EPOCH_NS + 59 * NS_PER_SECOND)
    assert asked == [True]
    publish(hub, picture(10, 5), sent_ns=EPOCH_NS + 61 * NS_PER_SECOND)
    publish(hub, scores(15), sent_ns=EPOCH_NS + 62 * NS_PER_SECOND)
    assert asked == [True, False]
    hub.subscribe(sink, wire.Subscribe(picture=True))
    assert asked == [True, False, True]
    assert other.shown == []


def test_bytes_that_are_not_a_picture_are_refused() -> None:
    with pytest.raises(ValueError, match="not a picture message"):
        columns(b"SC" + bytes(40))
