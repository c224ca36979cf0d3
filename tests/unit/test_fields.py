"""What keys are, read from the structs themselves."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from streamclf.alerts.rules.table import PlaceTable, RuleTable
from streamclf.alerts.sinks import kinds
from streamclf.config import SECTIONS, Config, DecisionConfig
from streamclf.fields import JSON_WORDS, keys_of, sentences
from streamclf.model.pack import Constant, Encoded, Fbank, LogMel, Manifest, Segmentation, StateTensor, Waveform
from streamclf.protocol import wire


class Base(msgspec.Struct):
    """Something."""

    name: str
    """What it
    is called."""


class Thing(Base, kw_only=True):
    """Something else."""

    size: Annotated[int, Meta(ge=1, le=3_600_000)] = 2
    """How large."""
    share: Annotated[float, Meta(gt=0, lt=1, description="Of the whole.")] | None = None
    kind: Literal["b", "a"] = "a"
    parts: tuple[Annotated[str, Meta(pattern="^x")], ...] = ()


def test_a_key_is_told_with_type_range_default_and_the_sentence_below_it() -> None:
    found = {key.name: key for key in keys_of(Thing)}

    assert [*found] == ["name", "size", "share", "kind", "parts"]
    assert (found["name"].kind, found["name"].default, found["name"].text) == ("text", None, "What it is called.")
    assert (found["size"].kind, found["size"].limits, found["size"].default) == ("whole number", "1 to 3600000", "2")
    assert (found["share"].limits, found["share"].text, found["share"].null) == (
        "over 0 to under 1",
        "Of the whole.",
        True,
    )
    assert found["kind"].kind == '`"a"` or `"b"`'
    assert (found["parts"].kind, found["parts"].limits, found["parts"].default) == ("list of text", "`^x`", "[]")
    assert keys_of(Thing, words=JSON_WORDS)[1].kind == "integer"


def test_a_class_without_source_has_keys_without_sentences() -> None:
    made = msgspec.defstruct("Made", [("size", int)])

    assert [(key.name, key.text) for key in keys_of(made)] == [("size", "")]


STRUCTS: tuple[Any, ...] = (
    *(*SECTIONS.values(), DecisionConfig, Config),
    *(Manifest, StateTensor, Constant, Segmentation, LogMel, Fbank, Waveform, Encoded),
    *(PlaceTable, RuleTable),
    *(kind.config for kind in kinds().values()),
    *(*wire.SERVER_MESSAGES, *wire.CLIENT_MESSAGES),
    *(wire.LabelEntry, wire.PackEntry, wire.StreamEntry, wire.ChannelPack),
)


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_key_that_people_write_or_read_has_its_sentence(struct: type[msgspec.Struct]) -> None:
    if struct is wire.Subscribed:  # fields as in `subscribe`
        struct = wire.Subscribe
    names = [name for name in struct.__struct_fields__ if name not in SECTIONS or struct is not Config]

    assert [name for name in names if not sentences(struct).get(name)] == []
