"""What `hello` tells of streams and packs. wire.py has these too."""

from typing import Annotated

import msgspec
from msgspec import Meta

from streamclf.types import Shape


class LabelEntry(msgspec.Struct, kw_only=True):
    """One class of a pack."""

    id: str
    """What messages call it: a-z, 0-9 and _."""
    name: Annotated[str, Meta(description="For people; untrusted text, never markup.")]
    group: str
    """What it belongs to, such as bird; empty where to nothing."""
    hidden: Annotated[bool, Meta(description="Too generic to show; top_k leaves it out unless it is named.")]
    enter: Annotated[float | None, Meta(description="At this probability an event begins; null where none does.")]


class PackEntry(msgspec.Struct, kw_only=True):
    """One model pack and its latency budget."""

    name: str
    """What messages call it."""
    version: str
    """Of its weights."""
    digest: Annotated[str, Meta(description="sha256 of the pack's manifest, which holds the hash of every file.")]
    shape: Shape
    """How rows come out of it."""
    labels: list[LabelEntry]
    """Its classes, in the order of the columns."""
    exclusive: Annotated[bool, Meta(description="Exactly one class holds at a time.")]
    window_ms: float
    """Sound that one run looks at."""
    look_ahead_ms: float
    """Sound behind a frame that its row rests on."""
    algorithmic_latency_ms: Annotated[float, Meta(description="Look-ahead and buffering, without computing time.")]
    receptive_field_ms: Annotated[float | None, Meta(description="Null where it is unbounded (recurrent state).")]
    hop_ms: Annotated[int, Meta(description="Time between two runs of the model.")]
    provider: str
    """What runs it: cpu, cuda or tensorrt."""
    latency_ms: Annotated[int | None, Meta(description="Deadline of the final revision; null where rows come once.")]
    problem: Annotated[str, Meta(description="Why it does not score; empty where it does.")] = ""


class StreamEntry(msgspec.Struct, kw_only=True):
    """The sound of one source."""

    name: str
    """What messages call it."""
    rate: int
    """Samples a second: of its source, or 48,000 where that was not there at the start."""
    epoch_ns: Annotated[int, Meta(description="Wall time of sample 0 (ns since 1970); 0 before the first sample.")]
    source: str
    """Where its sound comes from, in words."""
    state: str
    """What the last `status` about it said."""
    detail: str
    """Why, in a sentence; may be empty."""
    demo: Annotated[bool, Meta(description="A recording that ships with the project, not what can be heard here.")]
    priority: int
    """Where the machine cannot keep up, streams of the lowest are paused first."""
    packs: list[str]
    """Names of the packs that hear it."""
    push: Annotated[bool, Meta(description="Takes its samples from a client.")]
    test: Annotated[bool, Meta(description="The self-test's stream: nothing that is heard on it is real.")]
