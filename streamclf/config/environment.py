"""The layer of the environment: which variable sets which key, and what they set."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, get_origin

import msgspec

from streamclf.config.sections import SECTIONS, Config, struct_of
from streamclf.config.words import hint_for_variable
from streamclf.errors import ConfigError
from streamclf.text import hide_secrets, nearest
from streamclf.times import in_unit_of
from streamclf.toml import TomlFault, parse

_PREFIX = "STREAMCLF_"
# variables that are ours but are not configuration keys
RESERVED = frozenset(
    {"STREAMCLF_MODELS", "STREAMCLF_CONFIG", "STREAMCLF_SHARED", "STREAMCLF_TOKEN", "STREAMCLF_WEB_DIST"}
)


def variables() -> dict[str, list[str]]:
    """Environment variable -> the key that it sets, a part of its path each."""
    names = {f"STREAMCLF_{key.upper()}": [key] for key in Config.__struct_fields__ if key not in SECTIONS}
    for section, struct in SECTIONS.items():
        names |= {f"STREAMCLF_{section}_{key}".upper(): [section, key] for key in struct.__struct_fields__}
    return names


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the variables set, as a file would. Raises `ConfigError` with the variable and what to do."""
    known = variables()
    out: dict[str, Any] = {}
    for name, text in environ.items():
        if not re.fullmatch(r"STREAMCLF_[A-Z0-9_]+", name) or name in RESERVED or name.startswith("STREAMCLF_TEST_"):
            continue
        if name not in known:
            raise ConfigError(f"the environment: unknown variable {name}; {_hint(name.removeprefix(_PREFIX), known)}")
        put(out, known[name], _value(name, known[name], text))
    return out


def _hint(word: str, known: Mapping[str, list[str]]) -> str:
    """word, known: of an unknown variable, and all that there are with the key that each sets."""
    expected = hint_for_variable(word, SECTIONS)
    owners = [name for name, path in known.items() if path[-1] == word.lower()]
    if " " in expected:
        return expected
    if expected or len(owners) == 1:
        return f"did you mean {_PREFIX + expected.upper().replace('.', '_') if expected else owners[0]}?"
    # what all of them begin with would make any two of them alike
    meant = nearest(word, [one.removeprefix(_PREFIX) for one in known])
    return f"did you mean {_PREFIX}{meant}?" if meant else "`streamclf config show` lists the keys that there are"


def for_children(environ: Mapping[str, str]) -> dict[str, str]:
    """What a program that we start gets of it: nothing of ours, which may be a token or a camera's password."""
    return {name: value for name, value in environ.items() if not name.startswith("STREAMCLF_")}


def put(target: dict[str, Any], path: list[str], value: Any) -> None:
    """Set the key at `path`, making the tables on its way."""
    for part in path[:-1]:
        target = target.setdefault(part, {})
    target[path[-1]] = value


def _value(name: str, path: list[str], text: str) -> Any:
    kind = {field.name: field.type for field in msgspec.structs.fields(struct_of(path))}[path[-1]]
    if kind is str or get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, StrEnum)):
        return text
    if get_origin(kind) is tuple and not text.lstrip().startswith("["):
        return [text] if text else []
    if (span := in_unit_of(name.lower(), text)) is not text:
        return span
    try:
        return parse(f"value = {text}")["value"]
    except TomlFault:
        # behind a space the rest of a secret would look like another word
        shown = hide_secrets("".join(text.split()) if "://" in text else text)[:60]
        raise ConfigError(
            f"the environment: {name} holds {shown!r}, which is not a TOML value for {path[-1]}"
        ) from None
