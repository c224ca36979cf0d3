"""Laws of the wire: every message comes back as it went."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamclf.errors import ServeError
from streamclf.serve import packed, wire

names = st.text(max_size=40)
numbers = st.integers(-(2**62), 2**62)
seqs = st.integers(0, 2**62)
probabilities = st.floats(0, 1)

events = st.builds(
    wire.Event,
    stream=names, pack=names, seq=seqs, id=names, label=names, stage=st.sampled_from(["open", "update", "close"]),
    onset_frame=numbers, offset_frame=st.none() | numbers, peak=probabilities, mean=probabilities,
    onset_ns=numbers, offset_ns=st.none() | numbers, captured_ns=numbers, decided_ns=numbers, sent_ns=numbers,
)  # fmt: skip
gaps = st.builds(wire.Gap, stream=names, seq=seqs, first_sample=numbers, last_sample=numbers, reason=names)
statuses = st.builds(wire.Status, stream=names, pack=names, state=names, detail=names, seq=seqs)
laggeds = st.builds(
    wire.Lagged,
    seq=seqs, from_seq=numbers, to_seq=numbers, dropped=numbers,
    reason=st.sampled_from(["mailbox", "replay", "restart"]),
)  # fmt: skip
score_messages = st.integers(0, 4).flatmap(
    lambda width: st.builds(
        wire.Scores,
        stream=names, pack=names, seq=seqs, first_frame=numbers, count=st.integers(0, 9),
        labels=st.lists(names, min_size=width, max_size=width),
        rows=st.lists(st.lists(probabilities, min_size=width, max_size=width), max_size=5),
        final=st.booleans(), captured_ns=numbers, decided_ns=numbers, sent_ns=numbers,
    )
)  # fmt: skip
subscribes = st.builds(
    wire.Subscribe,
    streams=st.none() | st.lists(names, max_size=4), packs=st.none() | st.lists(names, max_size=4),
    labels=st.none() | st.lists(names, max_size=4), groups=st.none() | st.lists(names, max_size=4),
    top_k=st.none() | st.integers(1, 65535), min_prob=probabilities, tier=st.sampled_from(["events", "batch", "frame"]),
    encoding=st.sampled_from(["json", "f16", "u8"]), since=st.none() | seqs, instance=st.none() | names,
    final=st.sampled_from(["all", "final", "provisional"]),
)  # fmt: skip


@given(st.one_of(events, gaps, statuses, laggeds, score_messages))
def test_every_server_message_round_trips(message: wire.ServerMessage) -> None:
    assert wire.decode_server(wire.encode(message)) == message


@given(subscribes)
def test_every_subscription_round_trips(message: wire.Subscribe) -> None:
    assert wire.decode_client(wire.encode(message)) == message


@given(st.data())
def test_binary_scores_round_trip_within_the_precision_of_their_type(data: st.DataObject) -> None:
    count, classes = data.draw(st.integers(0, 6)), data.draw(st.integers(0, 12))
    values = data.draw(st.lists(st.floats(0, 1, width=32), min_size=count * classes, max_size=count * classes))
    rows = np.array(values, dtype=np.float32).reshape(count, classes)
    columns = data.draw(st.none() | st.lists(st.integers(0, 65535), min_size=classes, max_size=classes).map(tuple))
    sent = packed.BinaryScores(
        stream=data.draw(st.integers(0, 65535)), pack=data.draw(st.integers(0, 65535)),
        channel=data.draw(st.integers(0, 2**32 - 1)), seq=data.draw(seqs), first_frame=data.draw(numbers),
        final=data.draw(st.booleans()), captured_ns=data.draw(numbers), decided_ns=data.draw(numbers),
        sent_ns=data.draw(numbers), rows=rows, columns=columns,
    )  # fmt: skip
    encoding: Any
    encoding, error = data.draw(st.sampled_from([("f16", 2**-11), ("u8", 0.5 / 255 + 1e-7)]))

    got = packed.decode_binary(packed.encode_binary(sent, encoding))

    for field in ("stream", "pack", "channel", "seq", "first_frame", "final", "captured_ns", "sent_ns", "columns"):
        assert getattr(got, field) == getattr(sent, field)
    assert got.rows.shape == rows.shape
    assert np.all(np.abs(got.rows - rows) <= error)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoders(data: bytes) -> None:
    for decode in (packed.decode_binary, wire.decode_client, wire.decode_server):
        try:
            decode(data)
        except ServeError:
            continue
