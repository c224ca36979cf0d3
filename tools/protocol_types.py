"""The protocol's messages as TypeScript, for the page and for the JavaScript client, out of the AsyncAPI document.

The table of states goes to the page, too: what each means is told in one place (`streamclf.types.MEANINGS`).

`python -m tools.protocol_types` rewrites them; `--check` only says which of them are stale (exit status 1).

Times are nanoseconds on the wire, more than a number of JavaScript holds exactly. Whoever decodes a message turns each
`…_ns` into `…_ms`, so that is how the fields are named here.
"""

import argparse
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streamclf.clock import FRAME_MS
from streamclf.protocol import asyncapi
from streamclf.types import MEANINGS, Tone

ROOT = Path(__file__).resolve().parents[1]
FILES = (
    ROOT / "streamclf" / "web" / "src" / "protocol.generated.ts",
    ROOT / "streamclf" / "client" / "js" / "src" / "protocol.generated.ts",
)
STATES = ROOT / "streamclf" / "web" / "src" / "states.generated.ts"
COMMAND = "python -m tools.protocol_types"
WIDTH = 120
_HEAD = f"""\
// Made by `{COMMAND}` from the protocol's AsyncAPI document: change that, not this.
// Times are nanoseconds on the wire; each `…_ns` is a `…_ms` here, milliseconds that may have a fraction.
"""
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}

PLAIN_HTTP = ("StoredEvent", "EventPage")
"""Nothing decodes these but `JSON.parse`: their times stay what they are on the wire, as exact as a number there is."""

Schema = Mapping[str, Any]


def text(document: Schema) -> str:
    """The whole file. Raises `ValueError` for a schema that has no form in TypeScript here."""
    schemas: Mapping[str, Schema] = document["components"]["schemas"]
    sent, received = (_kinds(document, action) for action in ("send", "receive"))
    parts = [
        _HEAD,
        f"export const PROTOCOL = {json.dumps(document['info']['title'])};\nexport const FRAME_MS = {FRAME_MS};\n",
        *(_declaration(name, schema, sent, received) for name, schema in schemas.items()),
        _alias("ServerMessage", [_named(name, sent) for name in sent], "What the daemon sends as JSON."),
        _alias("ClientMessage", [_named(name, received) for name in received], "What a client sends as JSON."),
    ]
    return "\n".join(parts)


def states() -> str:
    """The whole file of states."""
    lines = [
        f"// Made by `{COMMAND}` from the table of states in streamclf/states.py: change that, not this.",
        "",
        f"export type Tone = {' | '.join(json.dumps(str(tone)) for tone in Tone)};",
        "",
        "/** What a state means. words: after “the stream is”; what: in a sentence; ofStream: it is a stream's own. */",
        "export interface Meaning {",
        "  words: string;",
        "  what: string;",
        "  tone: Tone;",
        "  ofStream: boolean;",
        "  heard: boolean;",
        "}",
        "",
        "export const MEANINGS: Record<string, Meaning> = {",
    ]
    for state, meaning in MEANINGS.items():
        key = str(state) if str(state).isidentifier() else json.dumps(str(state))
        values = {
            "words": meaning.words,
            "what": meaning.what,
            "tone": str(meaning.tone),
            "ofStream": meaning.of_stream,
            "heard": state.settled.heard,
        }
        lines.append(f"  {key}: {{")
        lines += [f"    {name}: {json.dumps(value)}," for name, value in values.items()]
        lines.append("  },")
    return "\n".join([*lines, "};", ""])


def _kinds(document: Schema, action: str) -> list[str]:
    """Names of the schemas of the JSON messages that are sent or received."""
    found = []
    for message in document["operations"][action]["messages"]:
        payload = document["components"]["messages"][_last(message["$ref"])]["payload"]
        if "$ref" in payload:
            found.append(_last(payload["$ref"]))
    return found


def _declaration(name: str, schema: Schema, sent: Sequence[str], received: Sequence[str]) -> str:
    messages = (*sent, *received)
    if "enum" in schema:
        return _alias(name, [json.dumps(value) for value in schema["enum"]], schema.get("description", ""))
    # what the daemon sends it sends whole; of what a client sends it may leave out what has a default
    required = schema["required"] if name in received else schema["properties"]
    description = schema.get("description", "")
    if name in PLAIN_HTTP:
        description = description.partition("\n\n")[0]  # docs/developers/http.md has the rest
    lines = [*_comment(description), f"export interface {_named(name, messages)} {{"]
    for field, value in schema["properties"].items():
        description = value.get("description", "")
        mark = "" if field in required else "?"
        if field.endswith("_ns") and name not in PLAIN_HTTP:
            field = f"{field.removesuffix('_ns')}_ms"
            description = re.sub(r"\bns\b", "ms", description).replace("Nanoseconds", "Milliseconds")
        lines += _comment(description, indent="  ")
        lines.append(f"  {field}{mark}: {_type(value, messages)};")
    return "\n".join([*lines, "}\n"])


def _type(schema: Schema, messages: Sequence[str]) -> str:
    if "$ref" in schema:
        return _named(_last(schema["$ref"]), messages)
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type(choice, messages) for choice in schema["anyOf"])
    if schema.get("type") == "array":
        item = _type(schema["items"], messages)
        return f"({item})[]" if "|" in item else f"{item}[]"
    if schema.get("type") not in _PLAIN:
        raise ValueError(f"there is no TypeScript for the schema {json.dumps(schema)}; teach tools/protocol_types.py")
    return _PLAIN[schema["type"]]


def _alias(name: str, choices: Sequence[str], description: str) -> str:
    line = f"export type {name} = {' | '.join(choices)};"
    if len(line) > WIDTH:
        line = "\n".join([f"export type {name} =", *(f"  | {choice}" for choice in choices)]) + ";"
    return "\n".join([*_comment(description), f"{line}\n"])


def _comment(description: str, indent: str = "") -> list[str]:
    lines = inspect.cleandoc(description).replace("*/", "* /").splitlines()
    if len(lines) < 2:
        return [f"{indent}/** {line} */" for line in lines]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]


def _named(schema: str, messages: Sequence[str]) -> str:
    """`Event` and `Error` are something else in JavaScript, so every message says that it is one."""
    return f"{schema}Message" if schema in messages else schema


def _last(reference: str) -> str:
    return reference.rpartition("/")[2]


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is stale")
    check = parser.parse_args().check
    wanted = dict.fromkeys(FILES, text(asyncapi.document())) | {STATES: states()}
    stale = [file for file in wanted if not file.is_file() or file.read_text(encoding="utf-8") != wanted[file]]
    for file in stale:
        if not check:
            file.write_text(wanted[file], encoding="utf-8")
        print(f"{file.relative_to(ROOT)} {f'is stale; run {COMMAND}' if check else 'is written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
