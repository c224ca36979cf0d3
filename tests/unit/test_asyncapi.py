"""The checked-in protocol document is the one that the structs give."""

import inspect
from typing import Any

import msgspec
import pytest

from streamclf.protocol import asyncapi, wire


def test_the_checked_in_document_is_not_stale() -> None:
    assert asyncapi.PATH.read_text(encoding="utf-8") == asyncapi.text(), "run: python -m streamclf.protocol.asyncapi"


def test_every_message_is_in_it_and_every_reference_leads_somewhere() -> None:
    document = asyncapi.document()
    messages = document["components"]["messages"]
    tags = {kind.__struct_config__.tag for kind in (*wire.SERVER_MESSAGES, *wire.CLIENT_MESSAGES)}

    assert set(messages) == tags | {"binary_scores", "picture", "samples", "sound", "event_page", "kept_event"}
    assert references(document)
    for reference in references(document):
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_the_server_sends_and_receives_the_right_way_round() -> None:
    operations = asyncapi.document()["operations"]

    assert {"$ref": "#/channels/v1/messages/scores"} in operations["send"]["messages"]
    assert {"$ref": "#/channels/v1/messages/subscribe"} in operations["receive"]["messages"]
    assert operations["send"]["action"] == "send"


@pytest.mark.parametrize("indent", [inspect.cleandoc, lambda text: inspect.cleandoc(text).replace("\n", "\n    ")])
def test_the_indentation_that_docstrings_bring_makes_no_difference(
    monkeypatch: pytest.MonkeyPatch, indent: Any
) -> None:
    made = msgspec.json.schema_components

    def as_another_release_does(*args: Any, **options: Any) -> Any:
        components, schemas = made(*args, **options)
        for schema in schemas.values():
            if "description" in schema:
                schema["description"] = indent(schema["description"])
        return components, schemas

    monkeypatch.setattr(msgspec.json, "schema_components", as_another_release_does)

    assert asyncapi.text() == asyncapi.PATH.read_text(encoding="utf-8")


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in references(value)]
    if isinstance(node, list):
        return [found for value in node for found in references(value)]
    return []
