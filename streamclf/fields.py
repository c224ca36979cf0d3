"""What the keys of a struct are: type, range, default, and the sentence that stands below each in its class.

    class ServerConfig(msgspec.Struct):
        port: Port = 8765
        \"\"\"Port to listen on; 0 takes a free one.\"\"\"

That sentence is the only place where a key is explained: messages of errors, the protocol document and the reference
in docs/ all come from here. `Meta(description=...)` does as well, for types that many keys share.
"""

import ast
import enum
import functools
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import inspect as kinds

JSON_WORDS: Mapping[str, str] = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array of",
    "dict": "object of",
}
PLAIN_WORDS: Mapping[str, str] = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "list": "list of",
    "dict": "table of",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key. kind, limits: in words. default: as in TOML or JSON, None where the key is required. text: "" for none.

    null: whether nothing may be said in its place (as JSON's null, or by leaving the key out).
    """

    name: str
    kind: str
    limits: str
    default: str | None
    text: str
    null: bool


def keys_of(struct: type[msgspec.Struct], *, words: Mapping[str, str] = PLAIN_WORDS) -> tuple[Key, ...]:
    """Every key in order. words: what types are called."""
    info = kinds.type_info(struct)
    assert isinstance(info, kinds.StructType)
    texts = sentences(struct)
    return tuple(_key(field, texts.get(field.name, ""), words) for field in info.fields)


@functools.cache
def sentences(struct: type[msgspec.Struct]) -> Mapping[str, str]:
    """Key -> what stands below it in its class, on one line."""
    info = kinds.type_info(struct)
    assert isinstance(info, kinds.StructType)
    found = {field.name: said for field in info.fields if (said := _description(field.type))}
    for kind in reversed(struct.__mro__):
        if kind is not msgspec.Struct and issubclass(kind, msgspec.Struct):
            found |= _written(kind)
    return found


def first_paragraph(struct: type) -> str:
    """The first paragraph of a class's docstring, on one line."""
    return " ".join(inspect.cleandoc(struct.__doc__ or "").split("\n\n")[0].split())


def _written(kind: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for statement, below in pairwise(_bodies(kind.__module__).get(kind.__qualname__, [])):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            found[statement.target.id] = " ".join(below.value.value.split())
    return found


@functools.cache
def _bodies(module: str) -> dict[str, list[ast.stmt]]:
    """The statements of each top-level class of a module; {} where its source is not there."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, KeyError, TypeError):
        return {}
    return {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}


def _description(kind: kinds.Type) -> str:
    if isinstance(kind, kinds.Metadata):
        said: str = (kind.extra_json_schema or {}).get("description", "")
        return said or _description(kind.type)
    if isinstance(kind, kinds.UnionType):
        return next((said for said in map(_description, kind.types) if said), "")
    return ""


def _key(field: kinds.Field, text: str, words: Mapping[str, str]) -> Key:
    kind, limits, null = in_words(field.type, words=words)
    return Key(field.encode_name, kind, limits, _default(field), text, null)


def _default(field: kinds.Field) -> str | None:
    if field.default_factory is not msgspec.NODEFAULT:
        return _literal(field.default_factory())
    return None if field.required else _literal(field.default)


def _literal(value: object) -> str:
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, msgspec.Struct):
        return ""
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def in_words(kind: kinds.Type, *, words: Mapping[str, str] = PLAIN_WORDS) -> tuple[str, str, bool]:
    """(type, limits, whether it may be null), in words."""
    if isinstance(kind, kinds.Metadata):
        return in_words(kind.type, words=words)
    if isinstance(kind, kinds.UnionType):
        parts = [in_words(part, words=words) for part in kind.types if not isinstance(part, kinds.NoneType)]
        limits = "; ".join(dict.fromkeys(limits for _, limits, _ in parts if limits))
        return " or ".join(dict.fromkeys(word for word, _, _ in parts)), limits, len(parts) < len(kind.types)
    if isinstance(kind, kinds.LiteralType):
        return " or ".join(f"`{json.dumps(value)}`" for value in kind.values), "", False
    if isinstance(kind, kinds.EnumType):
        return " or ".join(f"`{json.dumps(member.value)}`" for member in kind.cls), "", False
    return _word(kind, words), _limits(kind, words), False


def _word(kind: kinds.Type, words: Mapping[str, str]) -> str:
    plain: dict[type[kinds.Type], str] = {
        kinds.StrType: words["str"],
        kinds.IntType: words["int"],
        kinds.FloatType: words["float"],
        kinds.BoolType: words["bool"],
    }
    if type(kind) in plain:
        return plain[type(kind)]
    if isinstance(kind, kinds.ListType | kinds.VarTupleType):
        return f"{words['list']} {in_words(kind.item_type, words=words)[0]}"
    if isinstance(kind, kinds.TupleType):
        return f"{words['list']} {len(kind.item_types)}"
    if isinstance(kind, kinds.DictType):
        return f"{words['dict']} {in_words(kind.value_type, words=words)[0]}"
    if isinstance(kind, kinds.StructType):
        return f"`{kind.cls.__name__}`"
    return "any"


def _limits(kind: kinds.Type, words: Mapping[str, str]) -> str:
    if isinstance(kind, kinds.ListType | kinds.VarTupleType):
        least = f"at least {kind.min_length}" if kind.min_length else ""
        most = f"at most {kind.max_length}" if kind.max_length else ""
        return ", ".join(part for part in (least, most, in_words(kind.item_type, words=words)[1]) if part)
    if isinstance(kind, kinds.StrType):
        length = _range("characters", kind.min_length, None, kind.max_length, None)
        return ", ".join(part for part in (length, f"`{kind.pattern}`" if kind.pattern else "") if part)
    if isinstance(kind, kinds.IntType | kinds.FloatType):
        within = _range("", kind.ge, kind.gt, kind.le, kind.lt)
        multiple = f"a multiple of {kind.multiple_of}" if kind.multiple_of else ""
        return ", ".join(part for part in (within, multiple) if part)
    return ""


def _range(unit: str, ge: Any, gt: Any, le: Any, lt: Any) -> str:
    low = _number(ge) if ge is not None else f"over {_number(gt)}" if gt is not None else ""
    high = _number(le) if le is not None else f"under {_number(lt)}" if lt is not None else ""
    if low and high:
        return f"{low} to {high} {unit}".rstrip()
    both = f"{low} or more" if ge is not None else low if low else f"up to {high}" if le is not None else high
    return f"{both} {unit}".rstrip() if both else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"
