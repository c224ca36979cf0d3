"""The keys of the configuration: a struct for each section, with types, ranges, defaults and what each key means."""

import re
from ipaddress import ip_address
from typing import Annotated, Literal

import msgspec

from streamclf.clock import frames_of_ms
from streamclf.config.kserve import KserveConfig
from streamclf.config.nats import NatsConfig
from streamclf.sensitivity import Sensitivity
from streamclf.types import Provider

MAX_REACH_BACK_MS = 5_000
"""How far an onset may be moved back; so many rows of a stream are held."""

# scheme, host and port; not `null`, which is what sandboxed pages of every site send
ORIGIN = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?/?", re.IGNORECASE)

HEARTBEAT = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)
"""What an address that is asked for looks like."""
Probability = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=600_000)]
Days = Annotated[int, msgspec.Meta(ge=1, le=36_500)]
Megabytes = Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]
GainText = Annotated[str, msgspec.Meta(pattern=r"^(off|normalise|[+-]?[0-9]{1,2}dB)$")]
ClipMilliseconds = Annotated[int, msgspec.Meta(ge=0, le=60_000)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the daemon listens and whom it lets in."""

    host: str = "127.0.0.1"
    """Address to listen on; beyond loopback a token is required."""
    port: Port = 8765
    """Port to listen on; 0 takes a free one."""
    announce: bool = False
    """Whether the local network is told where the daemon is (mDNS, `_streamclf._tcp`); extra `zeroconf`."""
    token_file: str = ""
    """A file of mode 0600 that holds the admin's token; required (or STREAMCLF_TOKEN) beyond loopback."""
    audio_token_file: str = ""
    """A file of mode 0600 with the token of clients that may see, hear and send sound, but mark nothing."""
    labels_token_file: str = ""
    """A file of mode 0600 with the token of clients that may only see labels."""
    origins: tuple[str, ...] = ()
    """Web origins besides the daemon's own whose pages may connect, such as https://dash.example.org."""
    hosts: tuple[str, ...] = ()
    """Host names besides the bind address under which the daemon is reached, such as birds.local."""
    base_path: str = ""
    """Path such as /birds, for a reverse proxy that leaves it in the address; all answers below it and without it."""
    behind: str = ""
    """Address of a proxy that lets people in itself, as Home Assistant's ingress: admin, without a token."""
    certificate: str = ""
    """PEM file of a certificate and its chain: https and wss in place of http and ws; a renewed one is taken up."""
    key: str = ""
    """PEM file of its private key, without a password, not for every user to read; empty is the certificate's file."""
    connections: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 4096
    """Most connections at once; further ones are refused with 503."""
    connections_each: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 256
    """Most connections of one address (of IPv6: of 64 bits), but for this machine's own."""
    replay_seconds: Annotated[int, msgspec.Meta(ge=60, le=3600)] = 90
    """Seconds of messages and spectra that are held, so that a client that was cut off gets what it missed."""
    picture: Literal["always", "watched"] = "always"
    """When spectra are drawn: `always`, so that there is a past to show at once, or only while somebody looks."""
    listening: bool = False
    """Whether clients with the role audio may listen live."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"(/(?!v1(/|$))[A-Za-z0-9._~-]+)*", self.base_path):
            raise ValueError(f"base_path is {self.base_path!r}, expected something such as /birds, and nothing of /v1")
        if self.behind:
            try:
                ip_address(self.behind)
            except ValueError:
                what = "expected the address of a proxy, such as 172.30.32.2"
                raise ValueError(f"behind is {self.behind!r}, {what}") from None
        for origin in self.origins:
            if not ORIGIN.fullmatch(origin):
                what = "scheme, host and port alone, such as http://localhost:5173"
                null = "; any site's page can send it, so serve yours over http" if origin == "null" else ""
                raise ValueError(f"{origin!r} is not a web origin that could be let in{null}; expected {what}")


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events that are kept on disk; never audio, unless clips are switched on."""

    enabled: bool = True
    """Whether events are kept; the section's other keys do nothing where it is false."""
    path: str = ""
    """Folder of one daemon alone; empty is `streamclf` in the user's data folder (~/.local/share)."""
    keep_days: Days = 365
    """Days that an event is kept."""
    max_mb: Megabytes = 1000
    """Most megabytes of the database; the oldest events go first."""
    headroom_mb: Megabytes = 200
    """Megabytes left free to others: below it clips and score rows wait, and the oldest of them are deleted."""
    ballast_mb: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 8
    """Megabytes of a file that is given up when the disk is full, so that deletion still has room to work."""
    moments: bool = True
    """Whether it is kept what events, and moments between them, sounded like, as a pack's embeddings: 2 KB each, 50,000
    at most. What is taught learns from them, and `find` goes through them."""


class ScoresConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The log of every score row."""

    enabled: bool = False
    """Whether every score row is logged: to look closer, and to try rules and thresholds on the past."""
    top_k: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    """Classes kept of each row, 0 for all; the others read as 0."""
    keep_days: Days = 14
    """Days that rows are kept."""
    max_mb: Megabytes = 5000
    """Most megabytes of the log; the oldest rows go first."""


class ClipsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sound of events, cut from memory and written to disk."""

    enabled: bool = False
    """Whether the sound of events is kept; no sound is ever written where it is false."""
    labels: tuple[str, ...] = ()
    """Ids or `group:NAME` whose events get a clip; empty takes all."""
    format: Literal["flac", "opus"] = "flac"
    """How clips are written: `flac` as captured, `opus` much smaller."""
    pre_ms: ClipMilliseconds = 2000
    """Milliseconds before the onset that a clip holds as well."""
    post_ms: ClipMilliseconds = 2000
    """Milliseconds after the offset that a clip holds as well."""
    max_ms: Annotated[int, msgspec.Meta(ge=100, le=120_000)] = 15_000
    """Longest clip in milliseconds, pre-roll and post-roll included."""
    visit_ms: Annotated[int, msgspec.Meta(ge=0, le=3_600_000)] = 60_000
    """Events of one label that follow each other within so many ms are one visit: its best clip is kept."""
    privacy: Literal["off", "mute", "drop"] = "off"
    """What happens to speech: `mute` silences it, `drop` keeps no clip that has any."""
    privacy_labels: tuple[str, ...] = ("speech", "group:voice")
    """Ids or `group:NAME` that count as speech, of any pack that hears the stream."""
    privacy_threshold: Probability = 0.3
    """Probability from which a frame counts as speech."""
    privacy_margin_ms: Annotated[int, msgspec.Meta(ge=0, le=5_000)] = 300
    """Milliseconds around such frames that count as speech, too."""
    keep_days: Days = 30
    """Days that a clip is kept."""
    max_mb: Megabytes = 1000
    """Most megabytes of all clips; the oldest go first."""
    keep_per_label: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 10
    """Clips of each label that neither age nor size takes, the best ones."""


class SpeciesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be told of here, by place and season: a list, and what a pack of species says of places itself."""

    file: str = ""
    """CSV with the columns label, from, to, place; empty for no list."""
    packs: tuple[str, ...] = ()
    """Packs that it is for: of these, what is not in the list is never told."""
    place: str = ""
    """Lines of this place hold, and those of none."""
    likely: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.03
    """How likely a species has to be at `[place]` of the rules file in this week, as a pack that knows of places has it
    (birdnet), so that it is told of; 0 tells all."""


class LoudnessConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How loud it is: the label `loud` of every stream, and levels by the minute."""

    enabled: bool = True
    """Whether loudness is measured: then every stream has the label `loud`, unless one of its packs has that."""
    enter_dbfs: Annotated[float, msgspec.Meta(ge=-120, le=20)] = -10.0
    """Level (A-weighted, time constant F, full scale being 0) from which a stream is loud that is not calibrated."""
    enter_dba: Annotated[float, msgspec.Meta(ge=0, le=160)] = 85.0
    """Level in dB(A) from which a stream is loud that has an offset."""
    leave_below_db: Annotated[float, msgspec.Meta(ge=0, le=40)] = 6.0
    """Decibels under that level at which it is no longer loud."""
    offsets: dict[str, Annotated[float, msgspec.Meta(ge=0, le=220)]] = {}
    """Calibration: stream = dB(A) of full scale; `streamclf loudness calibrate` measures it."""


class PostgresConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events and marks of many daemons in one PostgreSQL, besides the store, which stays what a daemon reads."""

    url: str = ""
    """Address of a database, such as postgresql://streamclf@db.example.org/sounds; empty for none."""
    url_file: str = ""
    """A file of mode 0600 that holds the address, where a password stands in it; in place of `url`."""
    site: str = ""
    """Name of this daemon there, which no other one has; empty is the machine's."""

    @property
    def named(self) -> bool:
        """Whether there is a database."""
        return bool(self.url or self.url_file)

    def __post_init__(self) -> None:
        if self.url and self.url_file:
            raise ValueError("url and url_file are both given; keep one")
        if self.url and not re.match(r"postgres(ql)?://", self.url):
            raise ValueError("postgres.url is no address; expected something such as postgresql://user@host/database")
        if not re.fullmatch(r"[A-Za-z0-9._-]{0,64}", self.site):
            raise ValueError(f"site is {self.site!r}, expected at most 64 of a to z, A to Z, 0 to 9, dot, _ and -")


class HealthConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as heard."""

    muted_s: Annotated[float, msgspec.Meta(ge=0.0, le=3600.0)] = 8.0
    """Seconds of one and the same sample value (a muted microphone) before a live stream is `muted`; 0 is never."""


class SelftestConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A known sound that is played into a stream of its own now and then: does its label come out?"""

    enabled: bool = False
    """Whether the daemon tests itself."""
    every_min: Annotated[int, msgspec.Meta(ge=1, le=10_080)] = 60
    """Minutes from one test to the next."""
    sound: str = ""
    """A recording of at most 30 s; empty is the bird that ships with streamclf."""
    label: str = "bird"
    """Id of the label that has to come out."""
    budget_ms: Annotated[int, msgspec.Meta(ge=100, le=60_000)] = 5000
    """Most milliseconds from the sound's first sample to a subscriber."""
    sinks: tuple[str, ...] = ()
    """Sinks of the rules file that are told of a failure."""


class WatchConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is told that something is wrong with the daemon itself, once, and again when it is well.

    Told are: a stream that should be heard and is not (lost, stalled, muted, paused, not scored), a stream that is
    silent, and a store that cannot be written or
    whose disk is nearly full.
    """

    sinks: tuple[str, ...] = ()
    """Sinks of the rules file that are told; none: nobody is."""
    after_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 60.0
    """Seconds that something has to be wrong, or well again, before it is told."""
    silence_min: Annotated[float, msgspec.Meta(ge=0, le=10_080)] = 0.0
    """Minutes in which a stream was never louder than `silence_dbfs` before that is told; 0 is never."""
    silence_dbfs: Annotated[float, msgspec.Meta(ge=-160, le=0)] = -70.0
    """RMS of a second (full scale being 0) up to which a stream is silent."""
    heartbeat: str = ""
    """Address that is asked for (GET) as long as all is well, so that who keeps it can tell that it is not."""
    heartbeat_file: str = ""
    """A file that holds that address, which is mostly a secret; in place of `heartbeat`."""
    heartbeat_min: Annotated[float, msgspec.Meta(ge=0.1, le=1440)] = 5.0
    """Minutes from one time to the next."""
    heartbeat_private: bool = False
    """Whether the address may lie in this machine or in the local network."""

    def __post_init__(self) -> None:
        if self.heartbeat and self.heartbeat_file:
            raise ValueError("heartbeat and heartbeat_file are both given; keep one")
        if self.heartbeat and not HEARTBEAT.fullmatch(self.heartbeat):
            raise ValueError("heartbeat is no address; expected something such as https://hc.example.org/ping/UUID")


class LogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the daemon writes to standard error."""

    format: Literal["auto", "text", "json"] = "auto"
    """Form of a line: `text`, a `json` object, or `auto`: text on a terminal and in systemd's journal, else JSON."""


class DecisionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How events of a label (`speech`), a group (`group:bird`) or all (`*`) are decided; the pack decides the rest."""

    enter: Probability | None = None
    """An event begins where a score reaches it."""
    leave: Probability | None = None
    """An event ends where scores fall below it."""
    min_on_ms: Milliseconds | None = None
    """An event is told once it has lasted so long."""
    min_off_ms: Milliseconds | None = None
    """An event is closed after so much quiet."""
    reach_back_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_REACH_BACK_MS)] | None = None
    """Its onset is moved back by up to so much, as far as scores have not been under `leave`."""
    n: Count | None = None
    """An event begins where `n` of the last `m` frames reach `enter`."""
    m: Count | None = None
    """See `n`; without it the `n` frames follow each other."""
    smoothing: Literal["none", "ema", "median"] | None = None
    """How scores are smoothed first: an exponential mean (`ema`) or a median."""
    smoothing_ms: Milliseconds | None = None
    """Milliseconds that smoothing looks back on."""
    enabled: bool | None = None
    """False: no events of it at all; scores are sent all the same."""

    def fields(self) -> dict[str, object]:
        """What was given, with durations in frames, by the names of `engine.segment.Decision`."""
        out: dict[str, object] = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is None:
                continue
            if name.endswith("_ms"):
                name = name.removesuffix("_ms")
                # what lasts at all lasts a frame; an onset may be left where it is
                value = max(0 if name == "reach_back" else 1, frames_of_ms(value))
                name = "smoothing_frames" if name == "smoothing" else name
            out[name] = value
        if "n" in out and "m" not in out:
            out["m"] = out["n"]
        return out


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it. Names are those of the flags of `streamclf run`."""

    source: tuple[str, ...] = ()
    """Where audio comes from; empty is the default microphone, and the demo until there is one."""
    model: tuple[str, ...] = ()
    """Names or folders of packs; empty takes `everyday`, or the default one without it, `all` every one installed."""
    provider: Provider = Provider.AUTO
    """Where models run; `auto` takes the best that works and says which, any other is an error where it does not."""
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """Threads of a model run."""
    hop_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000, multiple_of=20)] = 0
    """Milliseconds between two runs of a window pack, a multiple of 20; 0 measures what this machine can hold."""
    latency_ms: Milliseconds = 500
    """Milliseconds after which the final revision of a window pack with frame output comes."""
    average: bool = False
    """Final rows are the mean of all windows that saw the frame, in place of the newest one's."""
    gate: bool = True
    """Whether members of fused packs that have a gate (birdnet) run only where it is worth it, or everywhere."""
    gain: GainText = "off"
    """What lifts a quiet microphone for the models: decibels as `+20dB`, or `normalise`; clips stay as captured."""
    sensitivity: Sensitivity = Sensitivity.NORMAL
    """How readily events begin: `low` tells fewer and surer ones, `high` more; `segmentation` comes before it."""
    fast: bool = False
    """Files and pipes as fast as they go, losing nothing."""
    rules: str = ""
    """Rules file of alerts; empty is rules.toml beside the user's configuration file, where there is one."""
    server: ServerConfig = ServerConfig()
    store: StoreConfig = StoreConfig()
    scores: ScoresConfig = ScoresConfig()
    clips: ClipsConfig = ClipsConfig()
    selftest: SelftestConfig = SelftestConfig()
    watch: WatchConfig = WatchConfig()
    log: LogConfig = LogConfig()
    postgres: PostgresConfig = PostgresConfig()
    health: HealthConfig = HealthConfig()
    loudness: LoudnessConfig = LoudnessConfig()
    species: SpeciesConfig = SpeciesConfig()
    nats: NatsConfig = NatsConfig()
    kserve: KserveConfig = KserveConfig()
    segmentation: dict[str, DecisionConfig] = {}
    """A table for each label, `group:NAME` or `*`; what it leaves out the pack decides."""

    def per_label(self) -> dict[str, dict[str, object]]:
        """`segmentation` as the engine takes it."""
        return {key: decision.fields() for key, decision in self.segmentation.items()}


SECTIONS: dict[str, type[msgspec.Struct]] = {
    field.name: field.type
    for field in msgspec.structs.fields(Config)
    if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
}
"""Sections of keys, each a table in the file and a prefix of variables."""


def struct_of(path: list[str]) -> type[msgspec.Struct]:
    """What holds the key at `path`: the whole configuration, a section, or the decisions of a label."""
    if len(path) > 1 and path[0].partition("[")[0] == "segmentation":
        return DecisionConfig
    return SECTIONS.get(path[0], Config) if len(path) > 1 else Config
