"""What `GET /v1/status` answers: how the daemon is, for people and for programs. What is not measured is null, never 0.

Counts go from the start of the daemon on; times of runs and ticks, RTF and CPU are of the last minute.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

Condition = Literal["ok", "degraded", "down"]
"""ok: all is well. degraded: every stream is heard and scored, but something is wrong. down: its work is not done."""
Grade = Literal["down", "degraded", "advice"]
"""What a problem makes of the daemon's condition; an advice leaves it alone."""


class DaemonProblem(msgspec.Struct):
    """Something that somebody should look at. streams: whose it is. since_ms: Unix time at which it was seen."""

    what: str
    streams: list[str]
    since_ms: int
    to_do: str
    grade: Grade = "degraded"


def condition_of(problems: Iterable[DaemonProblem]) -> Condition:
    """The worst that they make of it."""
    grades = {problem.grade for problem in problems}
    return "down" if "down" in grades else "degraded" if "degraded" in grades else "ok"


class FitnessStatus(msgspec.Struct):
    """Something wrong with a stream's microphone. kind: offset, clipping, bits, quiet or hum. value: in `unit`."""

    kind: str
    what: str
    value: float
    unit: str
    to_do: str


class LoudnessStatus(msgspec.Struct):
    """How loud the newest minute of a stream was. unit: dB(A) where it is calibrated, else dBFS."""

    laeq: float
    lafmax: float
    l10: float
    l50: float
    l90: float
    unit: str


class StreamStatus(msgspec.Struct):
    """One stream. since_ms: of its state (Unix time). fitness: what is wrong with its microphone.

    rms_dbfs, peak_dbfs: of the last 200 ms, null while nothing comes. drift_ppm: how much faster the device's clock
    goes than ours; null in the first minute, and for recordings. backlog_ms: captured and not yet scored, null while
    nothing is scored. rows: those published, by pack. gain: what lifts it for the models, off, normalise or +20dB say;
    levels are those before it. loudness: null before the first minute has ended, and where it is not measured.
    """

    name: str
    source: str
    rate: int
    state: str
    detail: str
    since_ms: int
    demo: bool
    push: bool
    test: bool
    captured_s: float
    rms_dbfs: float | None
    peak_dbfs: float | None
    drift_ppm: float | None
    backlog_ms: float | None
    gaps: int
    lost_samples: int
    xruns: int | None
    rows: dict[str, int]
    gain: str = "off"
    fitness: list[FitnessStatus] = []
    loudness: LoudnessStatus | None = None


class PackStatus(msgspec.Struct):
    """One pack. problem: why it does not score, "" where it does.

    rtf: time that its runs took over the time of all sound that it heard. sensitivity: low, normal or high.
    """

    name: str
    version: str
    provider: str
    hop_ms: int
    streams: int
    runs: int
    run_ms_p50: float | None
    run_ms_p99: float | None
    rtf: float | None
    problem: str = ""
    sensitivity: str = "normal"


class PaceStatus(msgspec.Struct):
    """How the engine keeps up. rung: of the ladder of falling behind, 0 where all is well; name: the same in a word."""

    rung: int
    name: str
    tick_ms_p50: float | None
    tick_ms_p99: float | None


class ServerStatus(msgspec.Struct):
    """What subscribers got. border_rows: score rows that were dropped because the server's loop stood still."""

    subscribers: int
    messages: int
    lagged_rows: int
    pictures_dropped: int
    cut_off: int
    refused: int
    border_rows: int
    needs_token: bool


class StoreStatus(msgspec.Struct):
    """What is kept on disk. Bytes; null for what is not kept. written_ms: Unix time of the last write."""

    folder: str
    free_bytes: int
    database_bytes: int
    events: int
    written_ms: int | None
    waiting: int
    lost: int
    scores_bytes: int | None
    clips: int | None
    clips_bytes: int | None
    clips_lost: int | None


class SinkStatus(msgspec.Struct):
    """One sink. pending, dead: alerts in the outbox now. failing: why its last try failed, "" where it takes all."""

    name: str
    type: str
    pending: int
    dead: int
    sent: int
    failed: int
    failing: str


class AlertStatus(msgspec.Struct):
    """Rules and sinks. unknown: alerts that wait for sinks which the rules do not name any more, by sink."""

    file: str
    rules: int
    problem: str
    sinks: list[SinkStatus]
    unknown: dict[str, int]


class SelftestStatus(msgspec.Struct):
    """The self-test. seconds: from sound to subscriber, of the last one that came back."""

    label: str
    every_min: int
    passed: int
    failed: int
    seconds: float | None
    problem: str


class WatchedProblem(msgspec.Struct):
    """What `[watch]` sees wrong. kind: stream, silent or store. told: whether its sinks have heard of it.

    stream: "" where it is of none. since_ms: Unix time.
    """

    what: str
    kind: str
    stream: str
    since_ms: int
    told: bool


class WatchStatus(msgspec.Struct):
    """`[watch]`. heartbeat_ms: Unix time at which its address was answered last; heartbeat_problem: why it was not."""

    sinks: list[str]
    problems: list[WatchedProblem]
    heartbeat_ms: int | None
    heartbeat_problem: str


class ProcessStatus(msgspec.Struct):
    """The process. cpu: share of one core; memory_bytes: resident."""

    version: str
    instance: str
    uptime_s: float
    cores: int
    cpu: float | None
    memory_bytes: int | None


class DaemonStatus(msgspec.Struct):
    """All of it. What is null besides: for the admin alone (server to process), or switched off (store to selftest)."""

    now_ms: int
    condition: Condition
    problems: list[DaemonProblem]
    streams: list[StreamStatus]
    packs: list[PackStatus]
    pace: PaceStatus
    server: ServerStatus | None
    store: StoreStatus | None
    alerts: AlertStatus | None
    selftest: SelftestStatus | None
    process: ProcessStatus | None
    watch: WatchStatus | None = None
