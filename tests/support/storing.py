"""Events to put into a store, and the engine's words they come from, with what a test does not name filled in."""

from typing import Any

from streamclf.clock import NS_PER_FRAME
from streamclf.engine.segment import Decision, Ending
from streamclf.store.events import StoredEvent
from streamclf.store.packfacts import PackFacts
from streamclf.types import Event, Label, Stage

FACTS = {"birds": PackFacts.of("ab", [Label("robin", "Robin", "bird")], [Decision(enter=0.6, min_on=5, min_off=10)])}
START_NS = 1_700_000_000 * 1_000_000_000


def stored(number: int = 0, *, stage: str = "close", frames: int = 50, **changes: Any) -> StoredEvent:
    """Event `number`: begins `number` seconds after START_NS and lasts `frames`."""
    onset = number * 50
    fields: dict[str, Any] = {
        "id": f"run/mic/birds/robin/{number}",
        "stream": "mic",
        "pack": "birds",
        "pack_hash": "ab" * 32,
        "label": "robin",
        "group": "bird",
        "stage": stage,
        "onset_frame": onset,
        "offset_frame": onset + frames if stage == "close" else None,
        "onset_ns": START_NS + onset * NS_PER_FRAME,
        "offset_ns": START_NS + (onset + frames) * NS_PER_FRAME if stage == "close" else None,
        "decided_ns": START_NS + (onset + frames) * NS_PER_FRAME,
        "peak": 0.9,
        "mean": 0.7,
        "enter": 0.5,
        "leave": 0.35,
        "min_on_ms": 100,
        "min_off_ms": 200,
        "ended_by": "quiet" if stage == "close" else "",
    }
    return StoredEvent(**{**fields, **changes})


def heard(stage: Stage, *, onset: int = 100, offset: int | None = None, decided: int = 105) -> Event:
    """What the engine says of a robin on stream mic, in a pack of FACTS."""
    return Event("mic", "birds", f"mic/birds/robin/{onset}", "robin", stage, onset, offset, 0.9, 0.7, decided,
                 Ending.QUIET if stage is Stage.CLOSE else "")  # fmt: skip
