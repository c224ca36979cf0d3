"""Counters and gauges, in a registry of our own, in the text form of Prometheus at `GET /metrics`.

Who counts what: the hub everything that was published and what subscribers got or lost; sources and the model thread
the rest. Names of streams and packs are label values, so their number is bounded by the configuration.
"""

from functools import cache
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the page, and nobody asks for them
REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)  # CPU, memory and open files of this process, under Prometheus's own names
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# published (counted by the hub)
FRAMES = Counter("streamclf_frames", "Score rows published", ["stream", "pack"], registry=REGISTRY)
EVENTS = Counter("streamclf_events", "Events published", ["stream", "pack", "stage"], registry=REGISTRY)
GAPS = Counter("streamclf_gaps", "Gaps published", ["stream", "reason"], registry=REGISTRY)
LOST_SAMPLES = Counter("streamclf_lost_samples", "Samples inside gaps", ["stream", "reason"], registry=REGISTRY)

# captured (counted by the sources)
XRUNS = Counter("streamclf_xruns", "Times the device lost samples", ["stream"], registry=REGISTRY)
BAD_SAMPLES = Counter("streamclf_bad_samples", "NaN and infinite samples replaced by 0", ["stream"], registry=REGISTRY)

# computed (counted by the model thread)
MODEL_RUNS = Counter("streamclf_model_runs", "Runs of a pack's session", ["pack"], registry=REGISTRY)
SPARED_RUNS = Counter(
    "streamclf_spared_runs", "Windows that a pack's gate held to be worth no run", ["pack"], registry=REGISTRY
)
BAD_ROWS = Counter("streamclf_bad_rows", "Rows with NaN that a model gave", ["pack"], registry=REGISTRY)
PACK_FAILURES = Counter(
    "streamclf_pack_failures", "Times a pack failed: it raised, hung or could not be made", ["pack", "kind"],
    registry=REGISTRY,
)  # fmt: skip
PACKS_REBUILT = Counter("streamclf_packs_rebuilt", "Times a pack that had failed was back", ["pack"], registry=REGISTRY)
PACK_PROBLEM = Gauge(
    "streamclf_pack_problem", "Whether a pack does not score as it should (0 or 1)", ["pack"], registry=REGISTRY
)
PACKS_ASIDE = Gauge("streamclf_packs_put_aside", "Packs that failed again and again: they are not tried any more",
                    registry=REGISTRY)  # fmt: skip
RUN_SECONDS = Histogram(
    "streamclf_run_seconds",
    "Time of one run of a pack's session",
    ["pack"],
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
    registry=REGISTRY,
)
TICK_SECONDS = Histogram(
    "streamclf_tick_seconds",
    "Time of one tick of the engine",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
    registry=REGISTRY,
)
HOP_MS = Gauge("streamclf_hop_milliseconds", "Time between two runs of a pack, in force", ["pack"], registry=REGISTRY)
LADDER = Gauge("streamclf_ladder_rung", "How far down the ladder of falling behind (0: all well)", registry=REGISTRY)
LADDER_STEPS = Counter("streamclf_ladder_steps", "Steps on that ladder", ["direction"], registry=REGISTRY)
MODEL_LOAD = Gauge(
    "streamclf_model_load", "Computing time of the model thread for a second of sound of all streams", registry=REGISTRY
)
KEPT_WAITING = Counter(
    "streamclf_kept_waiting", "Times rows were late though the work fits: nothing is left out", registry=REGISTRY
)
PAUSES = Counter("streamclf_pauses", "Times the stream was paused", ["stream"], registry=REGISTRY)
PAUSED = Gauge("streamclf_paused", "Whether the stream is paused (0 or 1)", ["stream"], registry=REGISTRY)

# delivered (counted by the hub and the server)
SUBSCRIBERS = Gauge("streamclf_subscribers", "Connections that are open", registry=REGISTRY)
MESSAGES_SENT = Counter("streamclf_messages_sent", "Messages handed to subscribers", ["tier"], registry=REGISTRY)
LAGGED_ROWS = Counter("streamclf_lagged_rows", "Score rows that slow subscribers did not get", registry=REGISTRY)
PICTURES_DROPPED = Counter(
    "streamclf_pictures_dropped", "Messages of spectrum columns that a subscriber could not take", registry=REGISTRY
)
SOUND_DROPPED = Counter(
    "streamclf_sound_dropped", "Messages of live sound that a listener could not take", registry=REGISTRY
)
CUT_OFF = Counter("streamclf_subscribers_cut_off", "Connections ended by the server", ["reason"], registry=REGISTRY)
REFUSED = Counter("streamclf_requests_refused", "Requests refused", ["reason"], registry=REGISTRY)
BORDER_ROWS = Counter(
    "streamclf_border_rows",
    "Score rows that no subscriber got because the event loop was too far behind: a gap, untold",
    ["stream"],
    registry=REGISTRY,
)
LOOP_LATE = Gauge(
    "streamclf_loop_late_seconds", "How late the event loop was, at worst in the last 3 s", registry=REGISTRY
)
LOOP_LATE_SPELLS = Counter("streamclf_loop_late_spells", "Times the event loop became late", registry=REGISTRY)
NATS_DROPPED = Counter(
    "streamclf_nats_dropped_bytes",
    "Bytes for gateways that were dropped because NATS took none: a hole, told to their clients",
    registry=REGISTRY,
)

# said (counted by the log)
LOG_DROPPED = Counter(
    "streamclf_log_lines_dropped",
    "Lines of the log that were not written: nobody read them (unread), or they only repeat others (repeated)",
    ["reason"],
    registry=REGISTRY,
)

# kept (counted by the writer)
STORE_COMMITS = Counter("streamclf_store_commits", "Transactions of the event store", registry=REGISTRY)
STORE_BACKLOG = Gauge("streamclf_store_backlog", "Events that wait to be written to disk", registry=REGISTRY)
STORE_LOST = Counter("streamclf_store_lost_events", "Events lost because the disk took none", registry=REGISTRY)
STORE_UNJUDGED = Counter(
    "streamclf_store_unjudged_events", "Stages of events that no rule saw because the disk took none", registry=REGISTRY
)
STORE_LOST_BLOCKS = Counter(
    "streamclf_store_lost_blocks", "Blocks of score rows that the disk did not take", registry=REGISTRY
)
STORE_DELETED = Counter("streamclf_store_deleted", "What retention deleted", ["kind"], registry=REGISTRY)
CLIPS = Counter("streamclf_clips", "Clips written", registry=REGISTRY)
CLIPS_LOST = Counter("streamclf_clips_lost", "Clips not kept: no space, no time, or overwritten", registry=REGISTRY)
STORE_PASSED = Counter(
    "streamclf_store_passed_over", "Score rows and levels that the writer had no time for", registry=REGISTRY
)

# alerts (counted by the dispatcher)
DELIVERIES = Counter("streamclf_deliveries", "Tries to hand an alert to a sink", ["sink", "outcome"], registry=REGISTRY)

# events in PostgreSQL (counted by its thread)
POSTGRES_ROWS = Counter("streamclf_postgres_rows", "Events and marks delivered to PostgreSQL", registry=REGISTRY)
POSTGRES_BACKLOG = Gauge(
    "streamclf_postgres_backlog", "Events that wait for PostgreSQL, which is cut off", registry=REGISTRY
)

# the self-test
SELFTESTS = Counter("streamclf_selftests", "Self-tests", ["outcome"], registry=REGISTRY)
SELFTEST_SECONDS = Gauge(
    "streamclf_selftest_seconds", "From sound to subscriber in the last self-test that came back", registry=REGISTRY
)

# what these may say is known before it is said; series that grow from nothing are not seen to grow
for _metric, _values in (
    (MESSAGES_SENT, ("events", "batch", "frame")),
    (CUT_OFF, ("mailbox", "stalled", "silent", "flood", "too-big")),
    (REFUSED, ("host", "method", "origin", "query", "token", "role", "foreign", "wait", "missing", "fault", "full",
               "slow", "tls", "gone")),
    (LADDER_STEPS, ("up", "down")),
    (LOG_DROPPED, ("unread", "repeated")),
    (SELFTESTS, ("passed", "failed")),
):  # fmt: skip
    for _value in _values:
        _metric.labels(_value)


@cache
def frames_of(stream: str, pack: str) -> Counter:
    """Of `FRAMES`. Its own search for labels takes four times as long as counting, for each row."""
    return FRAMES.labels(stream, pack)


@cache
def messages_of(tier: str) -> Counter:
    """Of `MESSAGES_SENT`."""
    return MESSAGES_SENT.labels(tier)


def exposition() -> bytes:
    """Everything as Prometheus text (`CONTENT_TYPE`)."""
    return generate_latest(REGISTRY)


class Times(NamedTuple):
    """What a histogram has counted. below: of each bucket but the last, its upper bound (s) and the times up to it."""

    number: float
    total_s: float
    below: tuple[tuple[float, float], ...]

    def since(self, before: "Times") -> "Times":
        """What came after `before`, an earlier reading of the same histogram."""
        pairs = zip(self.below, before.below, strict=True)
        below = tuple((bound, now - then) for (bound, now), (_, then) in pairs)
        return Times(self.number - before.number, self.total_s - before.total_s, below)

    def quantile_ms(self, share: float) -> float | None:
        """About the time below which `share` of them lay (ms); None where there were none. As exact as the buckets."""
        if self.number <= 0:
            return None
        rank, low_s, passed = share * self.number, 0.0, 0.0
        for bound_s, count in self.below:
            if count >= rank > passed:
                return 1000 * (low_s + (bound_s - low_s) * (rank - passed) / (count - passed))
            low_s, passed = bound_s, count
        return 1000 * low_s


NO_TIMES = Times(0, 0.0, ())


def sums(metric: Counter | Gauge, *labels: str) -> dict[str, float]:
    """Values by these labels (joined by a line end), summed over the others; by "" where none are named."""
    found: dict[str, float] = {}
    for family in metric.collect():
        for sample in family.samples:
            key = "\n".join(sample.labels[label] for label in labels)
            found[key] = found.get(key, 0.0) + sample.value
    return found


def times(histogram: Histogram, label: str = "") -> dict[str, Times]:
    """What a histogram has counted, by one of its labels, or by "" where it has none."""
    found: dict[str, Times] = {}
    for family in histogram.collect():
        for sample in family.samples:
            key = sample.labels.get(label, "")
            so_far = found.get(key, NO_TIMES)
            if sample.name.endswith("_sum"):
                found[key] = so_far._replace(total_s=sample.value)
            elif sample.name.endswith("_count"):
                found[key] = so_far._replace(number=sample.value)
            elif sample.labels["le"] != "+Inf":
                found[key] = so_far._replace(below=(*so_far.below, (float(sample.labels["le"]), sample.value)))
    return found
