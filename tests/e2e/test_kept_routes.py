"""/v1/clip, /v1/hours, /v1/why and /v1/rules over a real socket and a real store."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
import soundfile

from streamclf.alerts import outbox
from streamclf.alerts.rules.book import RuleBook
from streamclf.alerts.rules.memory import RuleMemory
from streamclf.alerts.rules.place import Location
from streamclf.alerts.rules.reload import RulesWatch
from streamclf.alerts.rules.rulefile import Vocabulary
from streamclf.clock import NS_PER_FRAME, NS_PER_SECOND, StreamClock
from streamclf.config import ClipsConfig
from streamclf.engine.segment import Decision
from streamclf.serve.http.server import Server
from streamclf.serve.http.stored import stored_routes
from streamclf.serve.http.why import Live
from streamclf.serve.hub import Hub
from streamclf.store.clips import Cut, clip_name, write_clip
from streamclf.store.database import Store
from streamclf.store.events import put_events, set_clip
from streamclf.store.gaps import GapsWaiting
from streamclf.store.packfacts import PackFacts
from streamclf.store.scores import ScoreLog
from streamclf.types import FrameScores, Gap, Label
from tests.support.rawclient import RawClient
from tests.support.server import TOKEN, run, serving
from tests.support.serving import EPOCH_NS, LABELS, make_hub, publish, scores
from tests.support.storing import START_NS, stored

HOUR = 3600 * NS_PER_SECOND
RULES = """
[place]
timezone = "UTC"
latitude = 52.5
longitude = 13.4

[[rule]]
name = "robins"
labels = "robin"
min_peak = 0.95
cooldown_s = 60
sinks = ["phone"]

[[rule]]
name = "owls"
labels = "group:owl"

[sink.phone]
type = "webhook"
url = "https://example.org/secret-part"
"""
DECISIONS = [
    Decision(enter=0.43, leave=0.3, min_on=5),
    Decision(enter=0.43, leave=0.3, min_on=5),
    Decision(enter=0.5, leave=0.3, min_on=5),
    Decision(enabled=False),
]
FACTS = {
    "big": PackFacts.of("00", LABELS, DECISIONS),
    "vad": PackFacts.of("00", [Label("speech", "Speech")], DECISIONS[:1]),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path / "store")) as opened:
        yield opened


@pytest.fixture
def rules(tmp_path: Path) -> RulesWatch:
    (tmp_path / "rules.toml").write_text(RULES)
    return RulesWatch(tmp_path / "rules.toml", known=Vocabulary(frozenset({"robin", "group:owl"})), required=True)


def put(store: Store, *events: Any) -> None:
    with store.transaction() as tx:
        put_events(tx, events)


def live(rules: RulesWatch, hub: Hub | None = None, *, allowed: frozenset[str] | None = None) -> Live:
    def held(pack: str, label: str, day: date) -> str:
        return "" if allowed is None or label in allowed else "the species list"

    return Live(hub or make_hub(), FACTS, rules, held)


def keep_gaps(store: Store, *gaps: Gap) -> None:
    waiting = GapsWaiting()
    waiting.take(gaps, {"mic": StreamClock(16_000, epoch_ns=EPOCH_NS)}, now_ns=EPOCH_NS)
    with store.transaction() as tx:
        waiting.write(tx)


async def ask(server: Server, path: str, *, status: int = 200, **fields: Any) -> Any:
    """The answer's JSON; of anything but 200 its text."""
    answer = await RawClient.request(server.port, f"/v1/{path}?{urlencode(fields)}")
    assert answer.status == status, answer.body
    return json.loads(answer.body) if status == 200 else answer.body.decode()


# Clips


def keep_clip(store: Store, event: Any, form: str = "flac") -> bytes:
    sound = np.sin(np.arange(16_000, dtype=np.float32) / 5)
    name = clip_name(event, form)
    write_clip(store.folder, Cut(event, name, sound, 16_000, None))
    put(store, event)
    with store.transaction() as tx:
        set_clip(tx, event.id, name)
    return (store.folder / "clips" / name).read_bytes()


@pytest.mark.parametrize(("form", "kind"), [("flac", "audio/flac"), ("opus", "audio/ogg")])
def test_a_clip_comes_as_it_lies_on_the_disk(store: Store, tmp_path: Path, form: str, kind: str) -> None:
    written = keep_clip(store, stored(1), form)

    async def main() -> None:
        async with serving(routes=stored_routes(store.folder)) as server:
            answer = await RawClient.request(server.port, f"/v1/clip?{urlencode({'event': stored(1).id})}")
        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        assert answer.body == written
        (tmp_path / "heard").write_bytes(answer.body)
        assert soundfile.info(tmp_path / "heard").duration == pytest.approx(1.0)

    run(main)


@pytest.mark.parametrize(
    ("config", "stage", "words"),
    [
        (ClipsConfig(), "close", "clips are switched off"),
        (ClipsConfig(enabled=True, labels=("group:owl",)), "close", "[clips] labels does not ask for robin"),
        (ClipsConfig(enabled=True), "open", "it still goes on"),
        (ClipsConfig(enabled=True), "close", "another one of the same visit was better"),
        (ClipsConfig(enabled=True, privacy="drop"), "close", "it held speech ([clips] privacy = drop)"),
    ],
)
def test_an_event_without_a_clip_says_why(store: Store, config: ClipsConfig, stage: str, words: str) -> None:
    put(store, stored(1, stage=stage))

    async def main() -> None:
        async with serving(routes=stored_routes(store.folder, clips=lambda: config)) as server:
            assert words in await ask(server, "clip", status=404, event=stored(1).id)
            assert "there is no event 'run/x'" in (await ask(server, "clip", status=404, event="run/x")).lower()

    run(main)


@pytest.mark.parametrize("name", ["../streamclf.db", "/etc/passwd", "2023-11-14/link.flac", "2023-11-14/pipe.flac",
                                  "linked/a.flac", "2023-11-14/gone.flac", "2023-11-14/huge.flac"])  # fmt: skip
def test_nothing_but_a_regular_file_below_clips_is_ever_read(store: Store, tmp_path: Path, name: str) -> None:
    """Whatever stands in the store: what wrote it may have been another program."""
    folder = store.folder / "clips" / "2023-11-14"
    folder.mkdir(parents=True)
    (tmp_path / "secret.flac").write_bytes(b"secret")
    (folder / "link.flac").symlink_to(tmp_path / "secret.flac")
    (store.folder / "clips" / "2023-11-15").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.flac")
    (folder / "huge.flac").touch()
    os.truncate(folder / "huge.flac", (64 << 20) + 1)
    put(store, stored(1), stored(2))
    with store.transaction() as tx:
        set_clip(tx, stored(1).id, name)
        set_clip(tx, stored(2).id, "2023-11-15/secret.flac")

    async def main() -> None:
        async with serving(routes=stored_routes(store.folder)) as server:
            for number in (1, 2):
                assert "secret" not in await ask(server, "clip", status=404, event=stored(number).id)

    run(main)


def test_clips_are_for_who_may_hear(store: Store) -> None:
    keep_clip(store, stored(1))

    async def main() -> None:
        async with serving(routes=stored_routes(store.folder), token=TOKEN, labels_token="only-labels") as server:
            for token, status in (("only-labels", 403), (TOKEN, 200)):
                path = f"/v1/clip?{urlencode({'event': stored(1).id, 'token': token})}"
                assert (await RawClient.request(server.port, path)).status == status

    run(main)


# Hours


def test_hours_count_onsets_in_the_asked_zone(store: Store) -> None:
    midnight = START_NS - START_NS % (24 * HOUR)
    hours = {1: 23.5, 2: 24, 3: 30.2, 4: 30.9, 5: 47.9, 6: 48}
    put(store, *(stored(n, onset_ns=midnight + int(h * HOUR), offset_ns=midnight + int(h * HOUR) + 1_500_000_000)
                 for n, h in hours.items()))  # fmt: skip
    put(store, stored(7, onset_ns=midnight + 30 * HOUR, label="owl"))
    put(store, stored(8, onset_ns=midnight + 30 * HOUR, test=True))

    async def main() -> None:
        async with serving(routes=stored_routes(store.folder)) as server:
            day = {"since_ns": midnight + 24 * HOUR, "until_ns": midnight + 48 * HOUR}
            found = await ask(server, "hours", **day)
            assert [(entry["label"], entry["total"]) for entry in found["labels"]] == [("robin", 4), ("owl", 1)]
            robin = found["labels"][0]
            assert {hour: count for hour, count in enumerate(robin["hours"]) if count} == {0: 1, 6: 2, 23: 1}
            assert robin["seconds"] == pytest.approx(6.0)
            assert found["left_out"] == 0
            east = (await ask(server, "hours", **day, tz=90))["labels"][0]
            assert {hour: count for hour, count in enumerate(east["hours"]) if count} == {1: 2, 7: 1, 8: 1}
            assert [e["label"] for e in (await ask(server, "hours", **day, labels="owl"))["labels"]] == ["owl"]
            assert (await ask(server, "hours", **day, streams="yard"))["labels"] == []
            for wrong in ({"until_ns": midnight + 24 * 57 * HOUR}, {"until_ns": midnight}):
                assert "31 days apart" in await ask(server, "hours", status=400, **{**day, **wrong})
            assert "'until_ns' is missing" in (await ask(server, "hours", status=400, since_ns=1))

    run(main)


# Why


def test_an_event_shows_what_each_rule_said_and_where_its_alerts_went(store: Store, rules: RulesWatch) -> None:
    book = RuleBook(rules.file.rules, place=Location(), memory=RuleMemory())
    strong, weak = stored(1, stage="open", peak=0.99), stored(9, stage="open", peak=0.5)
    for event in (strong, weak):
        said = book.step(event.decided_ns, [event])
        with store.transaction() as tx:
            put_events(tx, [event])
            outbox.put(tx, said.alerts, now_ns=event.decided_ns)
            outbox.put_reasons(tx, said.reasons)
        book.accept(said)
    with store.transaction() as tx:
        for delivery in outbox.heads(tx, "phone"):
            outbox.refused(tx, delivery, "https://example.org/secret-part answered 410")

    async def main() -> None:
        routes = stored_routes(store.folder, live(rules))
        async with serving(routes=routes, token=TOKEN, labels_token="only-labels") as server:
            found = await ask(server, "why", event=strong.id, token=TOKEN)
            assert found["event"]["id"] == strong.id
            assert [(rule["rule"], rule["passed"]) for rule in found["rules"]] == [("robins", True), ("owls", None)]
            assert found["rules"][1]["text"] == "does not take robin (group:owl)"
            peak = found["rules"][0]["gates"][0]
            assert (peak["gate"], peak["passed"], peak["text"]) == ("peak", True, "robin peak 0.99 >= 0.95")
            assert [d["state"] for alert in found["alerts"] for d in alert["deliveries"]] == ["dead"]
            assert "410" in found["alerts"][0]["deliveries"][0]["last_error"]
            others = await ask(server, "why", event=strong.id, token="only-labels")
            assert others["alerts"][0]["deliveries"][0]["last_error"] == ""
            silent = await ask(server, "why", event=weak.id, token=TOKEN)
            assert silent["rules"][0]["gates"][0]["text"] == "robin peak 0.50 < 0.95"
            assert silent["alerts"] == []

    run(main)


def moment(at_frame: int, **more: Any) -> dict[str, Any]:
    return {"stream": "mic", "at_ns": EPOCH_NS + at_frame * NS_PER_FRAME, "around_ms": 1000, **more}


def labels_of(answer: Any, pack: str = "big") -> dict[str, Any]:
    return next({near["label"]: near for near in entry["labels"]} for entry in answer["packs"] if entry["pack"] == pack)


def test_a_moment_says_of_each_label_why_it_was_no_event(store: Store, rules: RulesWatch) -> None:
    """Out of memory: rows of a hub, the newest of them in a group that is still open."""
    rows = np.full((203, 4), 0.02, dtype=np.float32)
    rows[100:102, 0] = 0.5  # speech: 40 ms
    rows[110, 1] = 0.31  # dog
    rows[90:110, 2] = 0.9  # bird
    rows[120, 3] = 0.99  # inside, switched off
    hub = make_hub()
    publish(hub, scores(0, *rows), *(scores(frame, [0.6], pack="vad", final=False) for frame in range(60, 160)))
    put(store, stored(1, label="bird", pack="big", onset_ns=EPOCH_NS + 90 * NS_PER_FRAME,
                      offset_ns=EPOCH_NS + 110 * NS_PER_FRAME))  # fmt: skip
    put(store, stored(2, label="bird", pack="big", stream="yard", onset_ns=EPOCH_NS + 90 * NS_PER_FRAME))

    async def main() -> None:
        async with serving(hub, routes=stored_routes(store.folder, live(rules, hub))) as server:
            found = await ask(server, "why", **moment(100))
            assert (found["rows"], found["no_rows"]) == ("ring", "")
            assert [why["event"]["id"] for why in found["events"]] == [stored(1).id]
            near = labels_of(found)
            assert near["speech"]["said"] == "stayed above 0.43 for 40 ms, 100 ms are needed"
            assert near["dog"]["said"] == "reached 0.31, enter is 0.43"
            assert (near["dog"]["at_ns"], near["dog"]["longest_ms"]) == (EPOCH_NS + 110 * NS_PER_FRAME, 0)
            assert near["inside"]["said"] == "is switched off"
            assert (near["bird"]["said"], near["bird"]["event"]) == ("is an event", stored(1).id)
            assert labels_of(found, "vad")["speech"]["longest_ms"] == 1800
            newest = labels_of(await ask(server, "why", **moment(230, around_ms=600)))
            assert newest["dog"]["at_ns"] == EPOCH_NS + 200 * NS_PER_FRAME
        listed = live(rules, hub, allowed=frozenset({"dog", "bird"}))
        async with serving(hub, routes=stored_routes(store.folder, listed)) as server:
            near = labels_of(await ask(server, "why", **moment(100)))
            assert "held back by the species list" in near["speech"]["said"]

    run(main)


def test_what_memory_has_forgotten_comes_from_the_log_and_else_says_so(store: Store, rules: RulesWatch) -> None:
    hub = make_hub(replay_seconds=2)
    rows = np.full((1000, 4), 0.02, dtype=np.float32)
    rows[100:102, 1] = 0.6

    async def main() -> None:
        async with serving(hub, routes=stored_routes(store.folder, live(rules, hub))) as server:
            nothing = await ask(server, "why", **moment(100))
            assert (nothing["packs"], nothing["rows"]) == ([], "")
            assert "[scores] enabled = true" in nothing["no_rows"]
            assert nothing["gaps"] == []
            keep_gaps(store, Gap("mic", 0, 160_000 - 1, "paused"))
            paused = await ask(server, "why", **moment(100))
            assert paused["no_rows"] == "nothing was heard then: paused"
            assert paused["gaps"] == [
                {"stream": "mic", "since_ns": EPOCH_NS, "until_ns": EPOCH_NS + 10 * NS_PER_SECOND, "reason": "paused"}
            ]
            publish(hub, scores(0, *rows))
            log = ScoreLog(store.folder, "run", FACTS)
            log.take([FrameScores("mic", "big", 0, rows, True, 0)], {"mic": EPOCH_NS})
            log.close()
            found = await ask(server, "why", **moment(100))
            assert found["rows"] == "log"
            assert labels_of(found)["dog"]["said"] == "stayed above 0.43 for 40 ms, 100 ms are needed"
            assert (await ask(server, "why", **moment(980, around_ms=300)))["rows"] == "ring"

    run(main)


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({}, 400, "say ?event=id"),
        ({"event": "x", "stream": "mic", "at_ns": 1}, 400, "say ?event=id"),
        ({"stream": "mic"}, 400, "say ?event=id"),
        ({"stream": "mic", "at_ns": 1, "around_ms": 1_000_000}, 400, "<= 120000"),
        ({"event": "run/none"}, 404, "there is no event 'run/none'"),
        ({"stream": "mic", "at_ns": 1 << 62}, 200, "that is still to come"),
        ({"stream": "nobody", "at_ns": 1}, 200, "no score row of that time is held"),
    ],
)
def test_what_cannot_be_explained_is_a_sentence(
    store: Store, rules: RulesWatch, fields: dict[str, Any], status: int, words: str
) -> None:
    async def main() -> None:
        async with serving(routes=stored_routes(store.folder, live(rules))) as server:
            assert words in str(await ask(server, "why", status=status, **fields)).lower()

    run(main)


# Rules


def test_rules_come_in_words_without_anything_a_sink_was_set_up_with(
    store: Store, rules: RulesWatch, tmp_path: Path
) -> None:
    async def main() -> None:
        async with serving(routes=stored_routes(store.folder, live(rules))) as server:
            found = await ask(server, "rules")
            assert found["rules"][0] == {
                "name": "robins",
                "labels": ["robin"],
                "told_when": "it begins, peak >= 0.95",
                "not_told_when": "told in the last 1 min",
                "sinks": ["phone"],
            }
            assert found["sinks"] == [{"name": "phone", "type": "webhook"}]
            assert (found["place"], found["file"]) == ("times are of UTC, the sun of 52.5 N 13.4 E", "rules.toml")
            assert found["problem"] == ""
            assert "secret-part" not in json.dumps(found)
            (tmp_path / "rules.toml").write_text("[[rule]")
            rules.look(at_once=True)
            broken = await ask(server, "rules")
            assert broken["problem"].startswith("the rules that were read before hold")
            assert len(broken["rules"]) == 2

    run(main)


def test_without_a_store_each_address_says_so() -> None:
    async def main() -> None:
        async with serving(routes=stored_routes(None)) as server:
            for path in ("clip", "hours", "why", "rules", "events"):
                assert "no events are kept" in (await ask(server, path, status=404)).lower()

    run(main)
