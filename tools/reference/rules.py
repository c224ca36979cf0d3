"""docs/reference/rules.md: every key of a rules file, those of each kind of sink included."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from streamclf.alerts.rules.table import CHOICES, EXAMPLES, PlaceTable, RuleTable
from streamclf.alerts.rules.template import FIELDS, MEANINGS, MESSAGE_LIMIT
from streamclf.alerts.sinks import SinkKind, kinds
from streamclf.fields import Key, first_paragraph, keys_of
from tools.reference.markdown import block, code, page, prose, table

_HEAD = ("Key", "Type", "Default", "Example", "What it is")
_TYPES: Mapping[type, str] = {str: "text", int: "whole number", float: "number", datetime: "time"}


def text() -> str:
    """The page."""
    fields = ((code(f"{{{name}}}"), _TYPES[kind], prose(MEANINGS[name])) for name, kind in FIELDS.items())
    return page(
        "Rules",
        "The rules file is TOML: `rules.toml` beside the user's configuration file, or what `rules` names. It is read "
        "as a whole: `streamclf rules check` finds every mistake with its line, and none of it holds unless there "
        "is none. `streamclf rules show` says the rules in words. How to write them: [alerts](../use/alerts.md).",
        "## [place]",
        "Where the microphones are.",
        _keys(PlaceTable, EXAMPLES),
        "## [[rule]]",
        "A rule, as many as you like. An event is told only where everything that its rule asks for is true. Where "
        'names are wanted, one may stand by itself: `labels = "robin"`.',
        _keys(RuleTable, EXAMPLES),
        "## Messages",
        f"`message` is text with these fields; what comes out is one line of at most {MESSAGE_LIMIT} characters. "
        "Formats are as in `{peak:.2f}`, `{peak:.0%}`, `{label:>12}`, `{time:%d.%m. %H:%M}`; a brace that is meant as "
        "such is written twice.",
        table(("Field", "Type", "What it is"), fields),
        "## [sink.NAME]",
        "Whom to tell; rules name it by NAME. `type` says of which kind it is:",
        *(_sink(kind) for kind in kinds().values()),
    )


def example(kind: type[msgspec.Struct], head: str, examples: Mapping[str, str]) -> str:
    """A table of a rules file with every key that must be there; where none must, with the first one."""
    keys = [key for key in keys_of(kind) if key.name in examples]
    needed = [key for key in keys if key.default is None] or keys[:1]
    return "\n".join([head, *(f"{key.name} = {examples[key.name]}" for key in needed)])


def _sink(kind: SinkKind[Any]) -> str:
    head = f'[sink.my-{kind.name}]\ntype = "{kind.name}"'
    needs = f"It needs `{kind.install}`." if kind.needs else ""
    parts = [
        f"### {kind.name}",
        prose(" ".join([first_paragraph(kind.config), needs]).strip()),
        block(example(kind.config, head, kind.examples), "toml"),
        _keys(kind.config, kind.examples),
    ]
    return "\n\n".join(part for part in parts if part)


def _keys(kind: type[msgspec.Struct], examples: Mapping[str, str]) -> str:
    rows = []
    for key in keys_of(kind):
        default = "**required**" if key.default is None else code(key.default) if key.default else ""
        shown = code(examples[key.name]) if key.name in examples else ""
        rows.append((code(key.name), _type(key), default, shown, prose(key.text)))
    return table(_HEAD, rows)


def _type(key: Key) -> str:
    if key.name in CHOICES and "`" not in key.kind:
        return " or ".join(code(f'"{word}"') for word in CHOICES[key.name])
    # a pattern is for machines; the sentence says it
    limits = "" if key.limits.startswith("`") or key.limits == "1 or more characters" else key.limits
    return f"{key.kind}{f', {limits}' if limits else ''}"
