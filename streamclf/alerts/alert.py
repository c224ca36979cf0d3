"""What rules say: alerts for sinks, gates that explain them, reasons that are kept for `streamclf why`."""

import hashlib

import msgspec

from streamclf.store.events import StoredEvent

TEST = "test"
"""Stage of an alert that somebody asked for to see whether it arrives: it is sent once, and never tried again."""

PROBLEM, WELL = "problem", "well"
"""Stages of an alert about the daemon itself: what is wrong, and that it is over."""


class Gate(msgspec.Struct, frozen=True):
    """One condition of a rule as it was found. `text` says it in words: "bird peak 0.41 < 0.50"."""

    name: str
    passed: bool
    value: str
    wanted: str
    text: str


class StreamShare(msgspec.Struct, frozen=True):
    """What one stream heard of a visit: its loudest event, `offset_ms` after the visit's first onset."""

    name: str
    event_id: str
    offset_ms: int
    level_db: float | None
    peak: float


class Tally(msgspec.Struct, frozen=True):
    """How often a label was heard in a digest's period, first and last onset, and the event with the highest peak."""

    label: str
    count: int
    best: StoredEvent
    first_ns: int
    last_ns: int


class Alert(msgspec.Struct, frozen=True):
    """A rule that fired. `id` is the same however often it is computed: on a retry, after a restart, in a replay.

    event: the one that speaks for the visit (the loudest stream's), of a digest the one with the highest peak.
    streams: every stream that heard it, in the order of their onsets; empty in a digest.
    stage: open, confirmed, close or digest; without an event that caused it `test` (`streamclf alerts test`), `problem`
    or `well` (`[watch]`). at_ns: time of the sound at which it was decided.
    digest: one tally a label, the most frequent first; empty unless the rule is a digest.
    shared_ns: in this time one site of a fleet tells of the label; 0: each by itself.
    """

    id: str
    rule: str
    event: StoredEvent
    streams: tuple[StreamShare, ...]
    stage: str
    at_ns: int
    message: str
    gates: tuple[Gate, ...]
    sinks: tuple[str, ...]
    digest: tuple[Tally, ...] = ()
    shared_ns: int = 0


class Reason(msgspec.Struct, frozen=True):
    """Why `rule` did or did not tell of an event; the newest one replaces those before."""

    event_id: str
    rule: str
    at_ns: int
    passed: bool
    gates: tuple[Gate, ...]


def alert_id(rule: str, event_id: str, stage: str, at_ns: int) -> str:
    """32 hexadecimal digits that depend on nothing but the arguments."""
    return hashlib.sha256("\0".join((rule, event_id, stage, str(at_ns))).encode()).hexdigest()[:32]


def own_alert(
    rule: str,
    message: str,
    *,
    at_ns: int,
    sinks: tuple[str, ...],
    stage: str,
    label: str = "",
    stream: str = "",
    test: bool = False,
) -> Alert:
    """An alert that no event of a stream caused. test: nobody has to do anything about it."""
    event = StoredEvent(
        id=f"{rule}/{stream or label}/{at_ns}", stream=stream, pack="", pack_hash="", label=label, group="",
        stage="close", onset_frame=0, offset_frame=0, onset_ns=at_ns, offset_ns=at_ns, decided_ns=at_ns,
        peak=0.0, mean=0.0, enter=0.0, leave=0.0, min_on_ms=0, min_off_ms=0, test=test,
    )  # fmt: skip
    return Alert(
        id=alert_id(rule, event.id, stage, at_ns), rule=rule, event=event, streams=(), stage=stage, at_ns=at_ns,
        message=message, gates=(), sinks=sinks,
    )  # fmt: skip
