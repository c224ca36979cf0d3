"""What every message is made of: the words that messages share, and what each of them is."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PROTOCOL = "streamclf.v1"
ROWS_PER_BATCH = 5
DECIMALS = 6

Tier = Literal["events", "batch", "frame"]
Encoding = Literal["json", "f16", "u8"]
Revision = Literal["all", "final", "provisional"]
PcmFormat = Literal["s16le", "f32le"]
Verdict = Literal["right", "wrong", ""]

Seq = Annotated[int, Meta(ge=0, description="Place in the one sequence of everything published since the start.")]
Frame20 = Annotated[int, Meta(description="Index of a 20 ms frame of the stream; frame 0 starts at its epoch.")]
Ns = Annotated[int, Meta(description="Nanoseconds since 1970-01-01 UTC.")]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Names = Annotated[list[str], Meta(max_length=4096)]


class Message(msgspec.Struct, tag_field="type", kw_only=True):
    """Anything on the wire; `type` says which."""

    @property
    def type(self) -> str:
        """What it says that it is on the wire, such as `event`."""
        return str(self.__struct_config__.tag)
