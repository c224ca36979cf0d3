"""Wire protocol: the exact fields, the binary layout byte by byte, and sentences for what does not fit."""

import json
import struct

import numpy as np
import pytest

from streamclf.errors import ServeError
from streamclf.protocol import packed, wire
from streamclf.serve.framing import binary_frame, text_frame


def test_a_score_message_has_exactly_the_documented_fields_in_order() -> None:
    message = wire.Scores(
        stream="mic", pack="vad", seq=7, first_frame=3, count=1, labels=["speech"], rows=[[0.25]], final=True,
        captured_ns=1, decided_ns=2, sent_ns=3,
    )  # fmt: skip

    text = wire.encode(message)

    assert json.loads(text) == {
        "type": "scores", "stream": "mic", "pack": "vad", "seq": 7, "first_frame": 3, "count": 1,
        "labels": ["speech"], "rows": [[0.25]], "final": True, "captured_ns": 1, "decided_ns": 2, "sent_ns": 3,
    }  # fmt: skip
    assert text.startswith(b'{"type":"scores","stream":"mic","pack":"vad","seq":7,')


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (wire.Event, "stream pack seq id label stage onset_frame offset_frame peak mean onset_ns offset_ns "
                     "captured_ns decided_ns sent_ns ended_by"),
        (wire.Gap, "stream seq first_sample last_sample reason"),
        (wire.Status, "stream pack state detail seq"),
        (wire.Lagged, "seq from_seq to_seq dropped reason"),
        (wire.Error, "code message"),
        (wire.Hello, "protocol version instance seq oldest_seq streams packs no_audio"),
        (wire.StreamEntry, "name rate epoch_ns source state detail demo priority packs push test"),
        (wire.Subscribe, "streams packs labels groups top_k min_prob tier encoding since instance final picture audio"),
        (wire.Push, "stream rate channels format sender"),
        (wire.Mark, "event mark label"),
        (wire.Marked, "event mark label seq"),
    ],
)  # fmt: skip
def test_field_names_are_the_protocol(kind: type[wire.Message], fields: str) -> None:
    assert kind.__struct_fields__ == tuple(fields.split())


def test_probabilities_are_short_and_within_a_millionth() -> None:
    rows = np.array([[0.1, 1 / 3, 1.0, 1e-9]], dtype=np.float32)

    text = json.dumps(wire.rounded(rows))

    assert text == "[[0.1, 0.333333, 1.0, 0.0]]"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"type":"subscribe","steams":["mic"]}', "unknown field 'steams'; did you mean 'streams'?"),
        ('{"type":"subscribe","tier":"slow"}', "tier is 'slow'; expected one of batch, events, frame"),
        ('{"type":"subscribe","top_k":0}', "top_k: expected a whole number >= 1"),
        ('{"type":"subscribe","min_prob":2}', "min_prob: expected a number <= 1.0"),
        ('{"type":"subscribe","since":-1}', "since: expected a whole number >= 0"),
        ('{"type":"scores"}', "type is 'scores'; expected one of subscribe, push, mark, adjust, teach, forget"),
        ("[]", "expected an object, got a list"),
        ("{", "input data was truncated"),
        ('{"of": ' + 20_000 * "[", "maximum recursion depth exceeded while deserializing an object"),
    ],
)
def test_a_message_that_does_not_fit_gets_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ServeError) as refusal:
        wire.decode_client(text)

    assert str(refusal.value) == sentence


def test_an_older_client_reads_a_message_with_fields_it_does_not_know() -> None:
    text = '{"type":"gap","stream":"mic","seq":1,"first_sample":0,"last_sample":9,"reason":"xrun","mood":"sad"}'

    assert wire.decode_server(text) == wire.Gap(stream="mic", seq=1, first_sample=0, last_sample=9, reason="xrun")


def binary(**more: object) -> packed.BinaryScores:
    fields: dict[str, object] = {
        "stream": 1, "pack": 2, "channel": 70000, "seq": 5_000_000_000, "first_frame": -1, "final": True,
        "captured_ns": 11, "decided_ns": 12, "sent_ns": 13, "rows": np.array([[0.0, 0.5, 1.0]], dtype=np.float32),
    }  # fmt: skip
    return packed.BinaryScores(**(fields | more))  # type: ignore[arg-type]


def test_the_binary_form_lies_as_documented() -> None:
    data = packed.encode_binary(binary(), "u8")

    assert len(data) == 64 + 3
    assert data[:6] == b"SC\x01\x02\x01\x00"
    assert struct.unpack_from("<HHHH", data, 6) == (1, 3, 1, 2)
    assert struct.unpack_from("<I", data, 16) == (70000,)
    assert struct.unpack_from("<Qqqqq", data, 24) == (5_000_000_000, -1, 11, 12, 13)
    assert data[64:] == bytes([0, 128, 255])


def test_binary_columns_stand_between_header_and_rows() -> None:
    data = packed.encode_binary(binary(columns=(520, 3, 7)), "f16")

    assert data[4] == 3
    assert struct.unpack_from("<HHH", data, 64) == (520, 3, 7)
    assert np.frombuffer(data, "<f2", offset=70).tolist() == [0.0, 0.5, 1.0]
    assert packed.decode_binary(data).columns == (520, 3, 7)


@pytest.mark.parametrize("spoil", [lambda d: d[:63], lambda d: b"XX" + d[2:], lambda d: d + b"\0", lambda d: d[:-1]])
def test_bytes_that_are_no_score_message_are_refused(spoil: object) -> None:
    data = packed.encode_binary(binary(), "f16")

    with pytest.raises(ServeError):
        packed.decode_binary(spoil(data))  # type: ignore[operator]


def test_long_and_short_frames_are_framed_as_the_websocket_standard_says() -> None:
    assert text_frame(b"hi") == b"\x81\x02hi"
    assert binary_frame(b"x" * 300)[:4] == b"\x82\x7e\x01\x2c"
    assert text_frame(b"y" * 70000)[:10] == b"\x81\x7f" + (70000).to_bytes(8, "big")


def test_a_message_says_what_it_is() -> None:
    assert wire.Marked(event="e", mark="", label="", seq=1).type == "marked"
    assert wire.decode_server(b'{"type":"error","code":"bad-mark","message":"no"}').type == "error"
