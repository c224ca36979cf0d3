"""Messages as the daemon encodes them and what they say, for the tests of the page's own decoders.

`python -m tests.support.pagemessages` writes them to `FILE` anew; a test compares.
"""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from streamclf.protocol import wire
from streamclf.protocol.packed import BinaryScores, encode_binary
from streamclf.protocol.sound import SoundBlock
from streamclf.protocol.spectrum import Columns
from tests.support.serving import EPOCH_NS, make_hub

FILE = Path(__file__).resolve().parents[2] / "streamclf" / "web" / "src" / "messages.json"
_ROWS = np.array([[0.0, 1.0, 0.5], [0.2, 0.25, 0.75]], dtype=np.float32)
_SAMPLES = np.array([0, 1, -32768, 32767, -2], dtype=np.int16)
_LEVELS = np.arange(3 * 6, dtype=np.uint8).reshape(3, 6) * 10


def _scores(*, final: bool, columns: tuple[int, ...] | None) -> dict[str, Any]:
    scores = BinaryScores(
        stream=1, pack=2, channel=70_000, seq=2**40, first_frame=-3, final=final, captured_ns=EPOCH_NS,
        decided_ns=EPOCH_NS + 32_000_000, sent_ns=EPOCH_NS + 40_500_000, rows=_ROWS, columns=columns,
    )  # fmt: skip
    return {
        "bytes": _text(encode_binary(scores, "u8")),
        "final": final,
        "columns": columns,
        "values": (_ROWS * 255).round().astype(int).ravel().tolist(),
    }


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def messages() -> dict[str, Any]:
    """By name."""
    picture = Columns(stream=1, first_frame=500, high_hz=8000.0, values=_LEVELS)
    later = Columns(stream=0, first_frame=505, high_hz=8000.0, values=_LEVELS[:1])
    event = wire.Event(
        stream="mic", pack="big", seq=7, id="e1", label="dog", stage="open", onset_frame=10, offset_frame=None,
        peak=0.9, mean=0.7, onset_ns=EPOCH_NS + 200_000_000, offset_ns=None, captured_ns=EPOCH_NS,
        decided_ns=EPOCH_NS, sent_ns=EPOCH_NS,
    )  # fmt: skip
    hub = make_hub()
    hello = wire.Hello(
        protocol=wire.PROTOCOL, version="1", instance="here", seq=0, oldest_seq=1,
        streams=[stream.entry() for stream in hub.streams.values()],
        packs=[pack.entry() for pack in hub.packs.values()],
    )  # fmt: skip
    return {
        "scores": _scores(final=True, columns=None),
        "best": _scores(final=False, columns=(5, 0, 300)),
        "half": _text(encode_binary(BinaryScores(0, 0, 0, 0, 0, True, 0, 0, 0, _ROWS), "f16")),
        "picture": {
            "bytes": _text(picture.encode() + later.encode()),
            "levels": _LEVELS.tolist(),
        },
        "sound": {
            "bytes": _text(SoundBlock(1, 16_000, 4_800, _SAMPLES).encode()),
            "samples": _SAMPLES.tolist(),
        },
        "event": wire.encode(event).decode(),
        "hello": wire.encode(hello).decode(),
        "epochMs": EPOCH_NS / 1e6,
    }


def text() -> str:
    """The file's content."""
    return json.dumps(messages(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
