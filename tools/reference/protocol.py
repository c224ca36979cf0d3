"""docs/developers/protocol.md: the websocket, rendered from its AsyncAPI document."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from streamclf.protocol import asyncapi, packed, sound, spectrum
from streamclf.types import MEANINGS
from tools.reference.markdown import anchor, block, code, page, paragraphs, prose, table
from tools.reference.messages import EXAMPLES

_REST = {"binary_scores": packed, "picture": spectrum, "sound": sound}
"""Binary messages whose module says more than the table of bytes."""

Schema = Mapping[str, Any]


def text() -> str:
    """The page."""
    document = asyncapi.document()
    channel = document["channels"]["v1"]
    sent = [_name(entry) for entry in document["operations"]["send"]["messages"]]
    received = [_name(entry) for entry in document["operations"]["receive"]["messages"]]
    nested = [name for name in document["components"]["schemas"] if name not in _payloads(document)]
    overview = ((f"[`{name}`](#{anchor(name)})", way, _summary(document, name)) for way, name in _ways(sent, received))
    return page(
        "The protocol",
        f"`{document['info']['title']}` is a websocket at `{channel['address']}`. {prose(channel['description'])}",
        f"This page is made of the AsyncAPI {document['asyncapi']} document that a daemon serves at "
        "[`/v1/schema`](http.md). How programs read labels: [labels](../use/labels.md).",
        paragraphs(document["info"]["description"].partition("\n\n")[2]),
        "A *frame* is 20 ms of a stream: frame k begins k times 20 ms after the stream's `epoch_ns`. A client ignores "
        "fields that it does not know; the daemon refuses them.",
        table(("Message", "Direction", "What it is"), overview),
        "## What the daemon sends",
        *(_message(document, name) for name in sent),
        "## What a client sends",
        *(_message(document, name) for name in received),
        "## What messages are made of",
        *(_entry(document, name) for name in nested),
        "## States",
        "What a [status](#status) says in its `state`. With *503* the daemon's health is `down` while it lasts; see "
        "[health](../operate/metrics.md). A client ignores a word that it does not know.",
        table(("State", "Of", "503", "What it means"), _states()),
        "## How a connection ends",
        table(("Code", "When"), _CLOSES),
    )


def _states() -> Iterator[tuple[str, str, str, str]]:
    for state, meaning in MEANINGS.items():
        of = "a stream" if meaning.of_stream else "packs and pace"
        yield code(state), of, "503" if meaning.deaf else "", meaning.what


_CLOSES = (
    ("`1000`", "The client said good-bye."),
    ("`1001`", "The daemon is stopping."),
    ("`1009`", "A message of the client was too big."),
    ("`1011`", "A fault of ours; the daemon's log has it."),
    ("`1013`", "Too many events wait for a client that reads too slowly; it may come back, with `since`."),
    ("none", "The client answered no ping, or took nothing for too long: it is cut off without a message."),
)


def layout(description: str) -> list[tuple[str, str, str]]:
    """(offset, type, what) of the table of bytes in a binary message's description."""
    found = []
    for line in description.splitlines():
        parts = re.split(r"  +", line.strip(), maxsplit=2)
        if len(parts) == 3 and (parts[0].isdecimal() or parts[0] == "…"):
            found.append((parts[0], parts[1], parts[2]))
        elif len(parts) >= 2 and (parts[0].isdecimal() or parts[0] == "…"):
            found.append((parts[0], "", parts[1]))
    return found


def _ways(sent: list[str], received: list[str]) -> Iterator[tuple[str, str]]:
    yield from (("daemon → client", name) for name in sent)
    yield from (("client → daemon", name) for name in received)


def _name(reference: Schema) -> str:
    return str(reference["$ref"].rpartition("/")[2])


def _payloads(document: Schema) -> set[str]:
    return {_name(m["payload"]) for m in document["components"]["messages"].values() if "$ref" in m["payload"]}


def _summary(document: Schema, name: str) -> str:
    return prose(document["components"]["messages"][name]["summary"])


def _message(document: Schema, name: str) -> str:
    message = document["components"]["messages"][name]
    payload = message["payload"]
    if "$ref" not in payload:
        return _binary(name, message)
    schema = document["components"]["schemas"][_name(payload)]
    example = next(one for one in EXAMPLES if one.__struct_config__.tag == name)
    shown = json.dumps(msgspec.to_builtins(example), indent=2, ensure_ascii=False)
    # lists of plain values on one line each
    shown = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda found: "[" + " ".join(found[1].split()) + "]", shown)
    like = document["components"]["schemas"]["Subscribe"] if name == "subscribed" else None
    parts = [f"### {name}", paragraphs(schema["description"]), _fields(schema, like), block(shown, "json")]
    return "\n\n".join(part for part in parts if part)


def _binary(name: str, message: Schema) -> str:
    description = message["payload"]["description"]
    parts = [f"### {name}", f"Binary. {prose(message['summary'])}"]
    rows = [(offset, code(kind) if kind else "", prose(said)) for offset, kind, said in layout(description)]
    if not rows:
        return "\n\n".join([*parts, prose(description)])
    # what stands around the table of bytes in the module that reads and writes it
    before, _, after = re.sub(
        r"(?s)\n *offset.*?(\n\n|$)", "\0", inspect.cleandoc(_REST[name].__doc__ or "")
    ).partition("\0")
    parts += [paragraphs(before.partition("\n\n")[2]), table(("Offset", "Type", "What"), rows), paragraphs(after)]
    return "\n\n".join(part for part in parts if part)


def _entry(document: Schema, name: str) -> str:
    schema = document["components"]["schemas"][name]
    said = f"One of {', '.join(code(value) for value in schema['enum'])}." if "enum" in schema else ""
    parts = [
        f"### {name}",
        paragraphs(schema.get("description", "")) if "properties" in schema else said,
        _fields(schema),
    ]
    return "\n\n".join(part for part in parts if part)


def _fields(schema: Schema, like: Schema | None = None) -> str:
    """like: what says of a field what `schema` leaves to it."""
    rows = []
    for name, field in schema.get("properties", {}).items():
        if name == "type":
            continue
        said = field.get("description") or (like or {}).get("properties", {}).get(name, {}).get("description", "")
        default = "" if name in schema.get("required", ()) else code(json.dumps(field.get("default")))
        rows.append((code(name), _type(field), default, prose(said)))
    return table(("Field", "Type", "Default", "What it is"), rows) if rows else ""


def _type(field: Schema) -> str:
    if "$ref" in field:
        return f"[{_name(field)}](#{anchor(_name(field))})"
    if "anyOf" in field:
        return " or ".join(_type(kind) for kind in field["anyOf"])
    if "enum" in field:
        return ", ".join(code(json.dumps(value)) for value in field["enum"])
    if field.get("type") == "array":
        return f"array of {_type(field['items'])}"
    low, high = field.get("minimum"), field.get("maximum")
    within = f", {low:g} to {high:g}" if None not in (low, high) else f", {low:g} or more" if low is not None else ""
    longest = f", at most {field['maxLength']} characters" if "maxLength" in field else ""
    return f"{field.get('type', 'any')}{within}{longest}"
