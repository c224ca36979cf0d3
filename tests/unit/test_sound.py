"""Live sound on its way to listeners: messages, which source is asked for it when, and which roles may not have it."""

import numpy as np
import pytest

from streamclf import metrics
from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.protocol.sound import SoundBlock, decode, is_sound
from streamclf.serve.hub import Hub
from streamclf.types import Sound
from tests.support.serving import HOP, RATE, Collector, make_hub, publish


def sound(frame: int, count: int = 1, *, stream: str = "mic") -> Sound:
    """Samples that hold their own index."""
    first, end = frame * HOP, (frame + count) * HOP
    return Sound(stream, frame, np.arange(first, end).astype(np.int16).reshape(count, HOP))


def listen(hub: Hub, stream: str | None, **wish: object) -> Collector:
    sink = Collector()
    hub.subscribe(sink, wire.Subscribe(audio=stream, **wish))  # type: ignore[arg-type]
    return sink


def test_sound_comes_a_frame_a_message_on_the_sample_clock_to_listeners_of_its_stream_alone() -> None:
    hub = make_hub()
    mic, yard, nobody = listen(hub, "mic"), listen(hub, "yard", tier="events", streams=["yard"]), listen(hub, None)

    publish(hub, sound(3, 2), sound(8), sound(3, stream="yard"))

    heard = [decode(data) for data in mic.shown]
    assert [(h.stream, h.rate, h.first_sample, len(h.samples)) for h in heard] == [
        (0, RATE, 3 * HOP, HOP),
        (0, RATE, 4 * HOP, HOP),
        (0, RATE, 8 * HOP, HOP),
    ]
    assert all(h.samples.tolist() == list(range(h.first_sample, h.first_sample + HOP)) for h in heard)
    assert [decode(data).stream for data in yard.shown] == [1]
    assert nobody.shown == []
    assert hub.seq == 0


def test_a_stream_is_tapped_from_its_first_listener_to_its_last() -> None:
    asked: list[tuple[str, bool]] = []
    hub = make_hub(on_sound=lambda stream, wanted: asked.append((stream, wanted)))
    listen(hub, None)
    assert asked == []
    one, other = listen(hub, "mic"), listen(hub, "mic", tier="frame")
    assert asked == [("mic", True)]
    hub.subscribe(one, wire.Subscribe(audio="mic", top_k=3))
    hub.detach(other)
    assert asked == [("mic", True)]
    hub.subscribe(one, wire.Subscribe(audio="yard"))
    assert asked[1:] == [("mic", False), ("yard", True)]
    hub.detach(one)
    assert asked[3:] == [("yard", False)]
    publish(hub, sound(5, stream="yard"))
    assert one.shown == []


def test_a_listener_that_cannot_take_sound_misses_it_and_is_counted() -> None:
    class Full(Collector):
        def show(self, frame: bytes) -> bool:
            return False

    hub = make_hub()
    before = metrics.REGISTRY.get_sample_value("streamclf_sound_dropped_total") or 0
    hub.subscribe(Full(), wire.Subscribe(audio="mic"))
    publish(hub, sound(0, 3))
    assert metrics.REGISTRY.get_sample_value("streamclf_sound_dropped_total") == before + 3


def test_a_stream_that_nothing_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(ServeError, match=r"there is no stream 'mik' here; did you mean 'mic'\?"):
        listen(make_hub(), "mik")


@pytest.mark.parametrize("data", [b"SP" + bytes(40), b"SA\x02" + bytes(40), b"SA\x01", b""])
def test_bytes_that_are_not_sound_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a sound message"):
        decode(data)


def test_a_message_that_was_cut_short_is_refused() -> None:
    data = SoundBlock(1, RATE, 640, np.arange(5, dtype=np.int16)).encode()
    assert is_sound(data)
    with pytest.raises(ValueError, match="a sound message of 5 samples cannot have 32 bytes"):
        decode(data[:-2])
