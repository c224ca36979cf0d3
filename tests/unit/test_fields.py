"""What keys are, read from the structs themselves."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streamclf.config import SECTIONS, Config, DecisionConfig
from streamclf.fields import JSON_WORDS, keys_of, sentences


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


def test_every_key_of_the_configuration_has_its_sentence() -> None:
    lacking = [
        f"{kind.__name__}.{name}"
        for kind in (*SECTIONS.values(), DecisionConfig, Config)
        for name in kind.__struct_fields__
        if name not in SECTIONS and not sentences(kind).get(name)
    ]

    assert not lacking
