"""`streamclf alerts` over a real outbox: what it shows, and what it makes due again."""

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streamclf.alerts import outbox
from streamclf.commands.alerts import alerts
from streamclf.errors import StoreError, StreamclfError, UsageError
from streamclf.store.database import Store, reader
from tests.support.alerts import AT_NS, make_alert

SINCE = ("--since", "2026-05-01T00:00:00+00:00")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One alert sent to `a` and given up at `b`, one that waits, one whose text is hostile."""
    texts = ("one", "two", "=x\n\x1b[2Jy")
    with closing(Store.open(tmp_path)) as store, store.transaction() as tx:
        outbox.put(tx, [make_alert(i, sinks=("a", "b"), message=text) for i, text in enumerate(texts)], now_ns=AT_NS)
        outbox.sent(tx, outbox.heads(tx, "a")[0], now_ns=AT_NS)
        outbox.refused(tx, outbox.heads(tx, "b")[0], "it answered 422")
        outbox.failed(tx, outbox.heads(tx, "a")[0], "no answer", now_ns=AT_NS)
    return tmp_path


def call(folder: Path, *args: str) -> str:
    env = {"STREAMCLF_STORE_PATH": str(folder), "STREAMCLF_CONFIG": None}
    result = CliRunner().invoke(alerts, args, env=env, catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


def listed(folder: Path, *args: str) -> list[tuple[str, str, str]]:
    told: list[dict[str, Any]] = [
        json.loads(line) for line in call(folder, "list", *SINCE, "--format", "ndjson", *args).splitlines()
    ]
    return [(entry["alert"]["message"], entry["sink"], entry["state"]) for entry in told]


def test_every_delivery_is_listed_with_its_state(folder: Path) -> None:
    assert listed(folder)[:4] == [
        ("one", "b", "dead"), ("one", "a", "sent"), ("two", "b", "pending"), ("two", "a", "pending"),
    ]  # fmt: skip
    assert listed(folder, "--state", "dead") == [("one", "b", "dead")]
    text = call(folder, "list", *SINCE)
    assert "given up (it answered 422)" in text
    assert "failed 1 times, next try in 0 s (no answer)" in text
    assert "\x1b" not in text
    assert len(text.splitlines()) == 7


def test_one_alert_is_shown_with_its_gates_and_where_it_went(folder: Path) -> None:
    text = call(folder, "show", make_alert(0).id[:10])
    assert "blackbird peak 0.75 >= 0.50" in text
    assert "it answered 422" in text
    assert "garden +0 ms" in text


def test_what_was_given_up_is_due_again(folder: Path) -> None:
    assert call(folder, "send", make_alert(0).id, "--sink", "a") == "0 deliveries to be sent again\n"
    assert call(folder, "send", "--dead") == "1 delivery to be sent again\n"
    assert listed(folder, "--state", "dead") == []
    with closing(reader(folder)) as connection:
        assert outbox.heads(connection, "b")[0].alert.message == "one"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("send",), "say which alerts to send"),
        (("send", "ab", "--dead"), "say which alerts to send"),
        (("send", "zz"), "there is no alert 'zz'"),
        (("show", "*"), "there is no alert '\\*'"),
        (("list", "--since", "soon"), "--since 'soon' is not a time"),
    ],
)
def test_a_mistake_is_one_sentence(folder: Path, args: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        call(folder, *args)


RULES = """
[sink.file]
type = "ndjson"
path = "{folder}/told.ndjson"
[sink.away]
type = "ndjson"
path = "{folder}/no/told.ndjson"
[sink.script]
type = "command"
argv = [{python}, "-c", "import sys; sys.stdin.read()"]
[[rule]]
name = "birds"
labels = ["group:bird", "robin"]
streams = ["garden"]
sinks = ["file", "script"]
message = "{{label}} in the {{stream}}"
[[rule]]
name = "file"
labels = ["robin"]
sinks = []
"""


@pytest.fixture
def rules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = folder / "rules.toml"
    path.write_text(RULES.format(folder=folder, python=json.dumps(sys.executable)))
    monkeypatch.setenv("STREAMCLF_RULES", str(path))
    return path


def test_a_test_says_so_everywhere_and_how_each_sink_ended(folder: Path, rules: Path) -> None:
    text = call(folder, "test", "birds")
    assert text.startswith("TEST: robin in the garden\n")
    assert "sent by this command, for no daemon runs" in text
    assert [line.split() for line in text.splitlines() if line.startswith(("file", "script"))] == [
        ["file", "sent"],
        ["script", "sent"],
    ]
    (told,) = map(json.loads, (folder / "told.ndjson").read_text().splitlines())
    assert told["data"]["test"] is True
    assert (told["data"]["stage"], told["data"]["message"]) == ("test", "TEST: robin in the garden")
    assert sorted(listed(folder)[-2:]) == [
        ("TEST: robin in the garden", "file", "sent"), ("TEST: robin in the garden", "script", "sent"),
    ]  # fmt: skip
    assert "test (test)" in call(folder, "show", told["data"]["id"])


def test_a_test_that_fails_ends_with_1_and_is_not_tried_again(folder: Path, rules: Path) -> None:
    with pytest.raises(StreamclfError, match="away did not take the test") as caught:
        call(folder, "test", "away")
    assert caught.value.exit_code == 1
    assert listed(folder)[-1][1:] == ("away", "dead")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("file", "file is a sink and a rule; write sink:file or rule:file"),
        ("rule:file", "rule file tells nobody"),
        ("brids", r"there is no sink and no rule 'brids'; did you mean birds\?"),
        ("phone", r"there is no sink and no rule 'phone'; there is file, away, script, birds"),
    ],
)
def test_what_cannot_be_tested_is_one_sentence(folder: Path, rules: Path, name: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        call(folder, "test", name)


def test_without_a_store_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no events have been kept"):
        call(tmp_path / "none", "list")
