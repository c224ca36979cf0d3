"""The TypeScript of the messages is what the protocol document gives."""

from pathlib import Path
from typing import Any

import pytest

from streamclf.protocol import asyncapi, wire
from tools import protocol_types


@pytest.mark.parametrize("file", protocol_types.FILES, ids=lambda file: file.parts[-3])
def test_the_checked_in_types_are_not_stale(file: Path) -> None:
    assert file.read_text(encoding="utf-8") == protocol_types.text(asyncapi.document()), f"run {protocol_types.COMMAND}"


def test_the_checked_in_states_are_not_stale() -> None:
    assert protocol_types.STATES.read_text(encoding="utf-8") == protocol_types.states(), f"run {protocol_types.COMMAND}"


def test_every_message_is_one_of_those_that_are_sent_or_received() -> None:
    text = protocol_types.text(asyncapi.document())
    _, sent, received = text.replace("\n  |", " |").split("export type ")[-3:]

    assert [f"{kind.__name__}Message" for kind in wire.SERVER_MESSAGES] == names(sent)
    assert [f"{kind.__name__}Message" for kind in wire.CLIENT_MESSAGES] == names(received)


def names(union: str) -> list[str]:
    return [name.strip() for name in union.partition(";")[0].partition("=")[2].split("|") if name.strip()]


def document(sent: dict[str, Any], received: dict[str, Any]) -> dict[str, Any]:
    """A protocol of one message each way."""
    messages = {name: {"payload": {"$ref": f"#/schemas/{name}"}} for name in ("Sent", "Received")}
    reference = "#/channels/v1/messages/{}".format
    return {
        "info": {"title": "toy.v1"},
        "operations": {
            "send": {"messages": [{"$ref": reference("Sent")}, {"$ref": reference("bytes")}]},
            "receive": {"messages": [{"$ref": reference("Received")}]},
        },
        "components": {
            "messages": {**messages, "bytes": {"payload": {"type": "string"}}},
            "schemas": {"Sent": sent, "Received": received},
        },
    }


def test_what_is_sent_is_whole_and_what_is_received_may_leave_out_its_defaults() -> None:
    schema = {
        "description": "One line.\n\n    And */ more.",
        "properties": {
            "type": {"enum": ["it"]},
            "at_ns": {"description": "Wall time (ns).", "anyOf": [{"type": "integer"}, {"type": "null"}]},
            "names": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "default": []},
        },
        "required": ["type", "at_ns"],
    }

    text = protocol_types.text(document(schema, schema))

    body = '  type: "it";\n  /** Wall time (ms). */\n  at_ms: number | null;\n  names{}: (string | null)[];\n}}\n'
    head = "/**\n * One line.\n *\n * And * / more.\n */\nexport interface {}Message {{\n"
    assert head.format("Sent") + body.format("") in text
    assert head.format("Received") + body.format("?") in text
    assert text.endswith("export type ClientMessage = ReceivedMessage;\n")


def test_a_schema_without_a_form_is_refused() -> None:
    schema = {"properties": {"odd": {"type": "object"}}, "required": []}

    with pytest.raises(ValueError, match="no TypeScript"):
        protocol_types.text(document(schema, schema))
