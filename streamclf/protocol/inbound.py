"""What clients send: JSON messages of `streamclf.v1`. wire.py has them too, and reads them."""

from typing import Annotated, Literal

from msgspec import Meta

from streamclf.protocol.base import Encoding, Message, Names, PcmFormat, Probability, Revision, Tier, Verdict


class Subscribe(Message, tag="subscribe", forbid_unknown_fields=True):
    """Says what to send. A later one takes the place of the former.

    Left out means all. `labels` takes ids and `group:NAME`; `groups` adds whole groups. Events are filtered by stream,
    pack and label, never by probability; gaps and statuses by stream.
    """

    streams: Names | None = None
    """Names of streams."""
    packs: Names | None = None
    """Names of packs."""
    labels: Names | None = None
    """Ids of labels, or `group:NAME`."""
    groups: Names | None = None
    """Names of groups."""
    top_k: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """The k best labels over the message's rows; hidden labels only where `labels` or `groups` names them."""
    min_prob: Probability | None = None
    """Labels whose best row lies below are left out; a message left with none is still sent, as a sign of life. Null:
    0.01 for a pack of which more than 100 labels are sent without `top_k`, else 0 (every label, which is costly)."""
    tier: Tier = "batch"
    """`events` alone, `batch`: ten messages a second of five rows, `frame`: a message every 20 ms."""
    encoding: Encoding = "json"
    """Of score rows: JSON, or a binary message with float16 or uint8."""
    since: Annotated[int, Meta(ge=0)] | None = None
    """Replay what came after this `seq` first."""
    instance: str | None = None
    """Of the `hello` that `since` is from; another one makes all that is held follow."""
    final: Revision = "all"
    """`final`: settled rows; `provisional`: each row once, as early as it is known; `all`: both."""
    picture: bool = False
    """Levels and spectrum columns of each stream as well, in binary messages of their own."""
    audio: str | None = None
    """The live sound of this stream as well, in binary messages of its own, for clients that may listen."""


class Push(Message, tag="push", forbid_unknown_fields=True):
    """Announces samples for a `push` stream. Binary messages follow: u64 index of the first sample, then mono PCM."""

    stream: str
    """Name of a `push` stream."""
    rate: int
    """Samples a second."""
    channels: int = 1
    """Only 1."""
    format: PcmFormat = "s16le"
    """16-bit whole numbers or 32-bit floats, little-endian."""
    sender: Annotated[str, Meta(max_length=64)] = ""
    """A secret word of the client's own choice: over a new connection it takes its own place again and counts on."""


class Mark(Message, tag="mark", forbid_unknown_fields=True):
    """Says whether an event that is kept was right; a later mark takes the place of the former. Answer: `marked`."""

    event: Annotated[str, Meta(max_length=1024, description="Its `id` at /v1/events: `hello.instance`, `/`, its id.")]
    mark: Verdict
    """`right`, `wrong`, or empty to take a mark back."""
    label: Annotated[str, Meta(pattern="^[a-z0-9_]{0,64}$")] = ""
    """With `wrong`: the id of what it was instead, of a pack or your own; empty where nobody knows."""


class Teach(Message, tag="teach", forbid_unknown_fields=True):
    """Shows an example of a class, or of what it is not. Answer: `taught`, once it is on the disk.

    Needs the role admin. One of `event`, `stream` with `from_ns`, and `sound` says which sound is meant; where there
    is none of them but a `name`, the class is called that from now on.
    """

    label: Annotated[str, Meta(pattern="^[a-z0-9_]{1,64}$", description="Its id; a new one makes a new class.")]
    name: Annotated[str, Meta(max_length=80, description="For people; left out, it stays, or is made of the id.")] = ""
    said: Literal["is", "not"] = "is"
    """`is`: this is it; `not`: it was taken for it and is not."""
    event: Annotated[str, Meta(max_length=1024, description="`id` of a kept event, see `mark`.")] = ""
    stream: str = ""
    """Name of a stream, of whose last two minutes a moment is meant."""
    from_ns: int | None = None
    """Wall time (ns) at which it begins."""
    to_ns: int | None = None
    """Wall time (ns) at which it ends; null: half a second later."""
    sound: Annotated[str, Meta(max_length=61_440, description="A sound file (FLAC, OGG or WAV) as base64.")] = ""
    pack: str = ""
    """The pack on whose embeddings a new class rests; empty: the first that has any."""


class Forget(Message, tag="forget", forbid_unknown_fields=True):
    """Takes back what was taught: a class, or one example of it. Needs the role admin. Answer: `taught`.

    Refused while a rule names the class and nothing would be left of it.
    """

    label: Annotated[str, Meta(pattern="^[a-z0-9_]{1,64}$")]
    """Id of the class."""
    example: str = ""
    """Id of one example, see /v1/taught; empty: the class with all of them."""


class Adjust(Message, tag="adjust", forbid_unknown_fields=True):
    """Writes thresholds of a label into the daemon's configuration; the old file is kept. Answer: `adjusted`.

    Needs the role admin. `GET /v1/thresholds` proposes them.
    """

    label: Annotated[str, Meta(pattern="^[a-z0-9_]{1,64}$", description="Id of a label that tells events.")]
    enter: Annotated[float, Meta(gt=0, le=1, description="At which an event begins.")]
    leave: Annotated[float, Meta(ge=0, le=1, description="Below which it ends; not above `enter`.")]
    min_on_ms: Annotated[int, Meta(ge=20, le=60_000, description="How long a sound has to last to be one.")]
