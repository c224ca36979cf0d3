"""What `[sink.NAME]` tables of a rules file are made of. Plain data: checked when the file is read, opened later."""

from typing import Annotated

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=1, le=65535)]
Text = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(gt=0, le=60)]


class SinkConfig(msgspec.Struct, tag_field="type", frozen=True, forbid_unknown_fields=True):
    """The keys of one kind of sink, besides `type`. A kind's own struct derives from it: `tag` is what `type` says."""
