"""The protocol as an AsyncAPI 3 document, generated from the message structs.

`python -m streamclf.protocol.asyncapi` rewrites asyncapi.json beside this file; it is served at /v1/schema.
"""

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamclf.fields import sentences
from streamclf.protocol import packed, sound, spectrum, wire
from streamclf.protocol.kept import EventPage, StoredEvent

PATH = Path(__file__).with_name("asyncapi.json")
_REF = "#/components/schemas/{name}"

_BINARY = (
    ("binary_scores", "Score rows, binary", "Takes the place of `scores` when the encoding is f16 or u8.", packed),
    ("picture", "Levels and spectrum columns", "Comes as well where `picture` was asked for.", spectrum),
    ("sound", "Live sound", "Comes as well where `audio` was asked for and may be had.", sound),
)
"""Of each binary message that the server sends: name, title, summary, and the module whose text is its layout."""


_KEPT = (
    ("event_page", EventPage, "/v1/events", "Events that are kept, over all starts of the daemon, a page at a time."),
    ("kept_event", StoredEvent, "/v1/live", "The data of each server-sent event, live; its id is the event's `seq`."),
)
"""Of what comes over plain HTTP: name, form, address, summary."""


def document() -> dict[str, Any]:
    """The whole document."""
    kinds = (*wire.SERVER_MESSAGES, *wire.CLIENT_MESSAGES)
    forms = (*kinds, *(kind for _, kind, _, _ in _KEPT))
    _, schemas = msgspec.json.schema_components(forms, ref_template=_REF)
    _explain(schemas)
    messages = _messages(kinds)
    spoken = [name for name in messages if name not in {name for name, *_ in _KEPT}]
    sent = [_tag(kind) for kind in wire.SERVER_MESSAGES] + ["binary_scores", "picture", "sound"]
    received = [_tag(kind) for kind in wire.CLIENT_MESSAGES] + ["samples"]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": wire.PROTOCOL,
            "version": "1.0.0",
            "description": "Class probabilities every 20 ms and events with onset and offset, live.\n\n"
            + (wire.__doc__ or "").split("\n\n")[-1].replace("\n", " ").strip(),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {"host": "127.0.0.1:8765", "protocol": "ws"},
            "http": {"host": "127.0.0.1:8765", "protocol": "http"},
        },
        "channels": {
            "v1": {
                "address": "/v1",
                "servers": [{"$ref": "#/servers/local"}],
                "description": "The query takes the fields of `subscribe` too (lists by commas), and `token`.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in spoken},
                "bindings": {"ws": {"method": "GET", "query": _query(), "bindingVersion": "0.1.0"}},
            },
            **{name: _http_channel(name, address, summary) for name, _, address, summary in _KEPT},
        },
        "operations": {
            "send": _operation("send", sent),
            "receive": _operation("receive", received),
            **{f"send_{name}": _http_operation(name) for name, *_ in _KEPT},
        },
        "components": {"messages": messages, "schemas": unindented(schemas)},
    }


def _messages(kinds: Sequence[type[wire.Message]]) -> dict[str, Any]:
    """All that is sent, by name."""
    messages = {_tag(kind): _message(kind) for kind in kinds}
    for name, title, summary, module in _BINARY:
        messages[name] = {
            "name": name,
            "title": title,
            "summary": summary,
            "contentType": "application/octet-stream",
            "payload": {"type": "string", "format": "binary", "description": _layout(module.__doc__)},
        }
    messages["samples"] = {
        "name": "samples",
        "title": "Pushed samples",
        "summary": "Follows an accepted `push`.",
        "contentType": "application/octet-stream",
        "payload": {
            "type": "string",
            "format": "binary",
            "description": "u64, little-endian: index of the first sample; then mono PCM in the announced format. "
            "Samples are counted from message to message. What comes twice is dropped, what is left out is a gap; "
            "index 0 again is refused and ends the push: send `push` before it.",
        },
    }
    for name, kind, _, summary in _KEPT:
        messages[name] = {
            "name": name,
            "title": kind.__name__,
            "summary": summary,
            "contentType": "application/json",
            "payload": {"$ref": _REF.format(name=kind.__name__)},
        }
    return messages


def text() -> str:
    """The document as it is checked in."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def _explain(schemas: dict[str, Any]) -> None:
    """Writes below every field what its struct says of it."""
    for name, schema in schemas.items():
        kind = getattr(wire, name, None)
        for field, text in (
            sentences(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else {}
        ).items():
            schema["properties"][field]["description"] = text


def unindented(node: Any) -> Any:
    """`node` with every `description` free of its docstring's indentation, which msgspec < 0.23 keeps.

    Python 3.13 takes it out by itself, msgspec 0.23 too; so the document is the same whatever made it.
    """
    if isinstance(node, dict):
        return {
            key: inspect.cleandoc(value) if key == "description" and isinstance(value, str) else unindented(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [unindented(value) for value in node]
    return node


def _tag(kind: type[wire.Message]) -> str:
    return str(kind.__struct_config__.tag)


def _message(kind: type[wire.Message]) -> dict[str, Any]:
    return {
        "name": _tag(kind),
        "title": kind.__name__,
        "summary": " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split()),
        "contentType": "application/json",
        "payload": {"$ref": _REF.format(name=kind.__name__)},
    }


def _operation(action: str, names: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/v1"},
        "messages": [{"$ref": f"#/channels/v1/messages/{name}"} for name in names],
    }


def _http_channel(name: str, address: str, summary: str) -> dict[str, Any]:
    return {
        "address": address,
        "servers": [{"$ref": "#/servers/http"}],
        "description": f"{summary} The query takes `labels`, `streams`, `token` and `after` (go on there).",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _http_operation(name: str) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
        "bindings": {"http": {"method": "GET", "bindingVersion": "0.3.0"}},
    }


def _query() -> dict[str, Any]:
    fields = [name for name in wire.Subscribe.__struct_fields__ if name != "type"]
    return {"type": "object", "properties": {name: {"type": "string"} for name in (*fields, "token")}}


def _layout(text: str | None) -> str:
    lines = (text or "").splitlines()
    table = [line.strip() for line in lines if line.startswith("  ")]
    return "Little-endian.\n" + "\n".join(table)


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    print(PATH)
