"""Events as they are kept and given by /v1/events and /v1/live: one row each, with all that is needed to judge it."""

import msgspec


class StoredEvent(msgspec.Struct, frozen=True):
    """One event. Frames are its stream's, times UTC in ns since 1970, `peak` and `mean` in [0, 1], levels in dBFS.

    id: unique for ever: the daemon's run, then the engine's id. seq: order in which stages were stored, 0 before.
    decided_ns: the stream was known up to here when `stage` was decided (time of the sound, not of the work).
    level_db: mean power from onset to offset, None where no level was measured. enter, leave, min_on_ms,
    min_off_ms: the thresholds in force. ended_by: "" while it lasts; quiet, gap (samples or its source were lost,
    or its pack failed), paused (the stream), changed (the configuration), end (of the source), stop or crash (of
    the daemon). test: of a self-test, never counted as real. clip: file below the store's clips/, "" for none.
    mark: what a person said of it: right, wrong, or "". mark_label: what it was instead, "" where that was not
    said.
    """

    id: str
    stream: str
    pack: str
    pack_hash: str
    label: str
    group: str
    stage: str
    onset_frame: int
    offset_frame: int | None
    onset_ns: int
    offset_ns: int | None
    decided_ns: int
    peak: float
    mean: float
    enter: float
    leave: float
    min_on_ms: int
    min_off_ms: int
    level_db: float | None = None
    ended_by: str = ""
    test: bool = False
    clip: str = ""
    mark: str = ""
    mark_label: str = ""
    seq: int = 0


class FleetPage(msgspec.Struct, frozen=True):
    """What /v1/events answers at a gateway of many sites. after: a text, to be given back as it is.

    silent: sites that did not answer; what they have follows once they do.
    """

    events: list[StoredEvent]
    after: str
    more: bool
    silent: list[str] = []


class EventPage(msgspec.Struct, frozen=True):
    """What /v1/events answers. after: the `after` of the next request; more: whether there is more already."""

    events: list[StoredEvent]
    after: int
    more: bool
