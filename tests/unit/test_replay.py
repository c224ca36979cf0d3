"""Replayed rows give the alerts that they gave live; what differs is told as new, gone or moved."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamclf.alerts.replay import Past, compare, compare_events, replay
from streamclf.alerts.rules.book import RuleBook
from streamclf.alerts.rules.memory import RuleMemory
from streamclf.alerts.rules.place import Location
from streamclf.alerts.rules.rule import Per, Rule, RuleStage
from streamclf.clock import NS_PER_SECOND
from streamclf.engine.segment import Decision, Segmenter
from streamclf.store import scores
from streamclf.store.ledger import Ledger
from streamclf.store.packfacts import PackFacts
from streamclf.store.scores import ScoreLog
from streamclf.types import F32, FrameScores, Label, Levels, Output
from tests.support.alerts import make_alert

EPOCHS = {"mic": 1_700_000_000 * NS_PER_SECOND, "yard": 1_700_000_000 * NS_PER_SECOND + 7_000_000}
LABELS = [Label("robin", "Robin", "bird"), Label("owl", "Owl", "bird"), Label("siren", "Siren", "alarm")]
DECISIONS = [Decision(min_on=3, min_off=5), Decision(enter=0.6, leave=0.4, min_on=2, min_off=5), Decision()]
FACTS = {"birds": PackFacts.of("ab", LABELS, DECISIONS)}
RULES = (
    Rule("open", ("group:bird",), cooldown_ns=20 * NS_PER_SECOND, sinks=("here",)),
    Rule(
        "long", ("robin",), stage=RuleStage.CONFIRMED, min_duration_ns=NS_PER_SECOND, level_dbfs=-35.0, sinks=("here",)
    ),
    Rule("over", ("owl",), stage=RuleStage.CLOSE, unless=("siren",), merge_ns=NS_PER_SECOND, sinks=("here",)),
    Rule("often", ("robin",), count=3, within_ns=60 * NS_PER_SECOND, per=Per.RULE, sinks=("here",)),
)
EVERYTHING: dict[str, Any] = {"since_ns": 0, "until_ns": 1 << 62}


def walk(seed: int, frames: int) -> F32:
    """Probabilities that come and go: (frames, 3) float32."""
    steps = np.random.default_rng(seed).normal(0, 0.06, (frames, 3)).cumsum(axis=0)
    rows: F32 = (0.5 + 0.5 * np.sin(steps)).astype(np.float32)
    return rows


def live(folder: Path, *, frames: int = 4000, gap: int = 2500) -> Past:
    """What the daemon does with the rows of two streams, one of which loses frames [gap, gap + 40)."""
    ledger, log = Ledger("run1", FACTS), ScoreLog(folder, "run1", FACTS)
    book = RuleBook(RULES, place=Location(), memory=RuleMemory())
    segmenters = {stream: Segmenter(stream, "birds", LABELS, DECISIONS) for stream in EPOCHS}
    past = Past([], [])
    for first in range(0, frames, 10):
        for number, (stream, segmenter) in enumerate(segmenters.items()):
            if stream == "yard" and gap <= first < gap + 40:
                continue
            rows = walk(number, frames)[first : first + 10]
            rms = 0.01 + 0.1 * walk(9 + number, frames)[first : first + 10, 0]
            outputs: list[Output] = [
                Levels(stream, first, rms, rms),
                FrameScores(stream, "birds", first, rows, True, 0),
            ]
            outputs += segmenter.push(first, rows)
            log.take(outputs, EPOCHS)
            step(book, ledger, outputs, past)
    for segmenter in segmenters.values():
        step(book, ledger, segmenter.finish(), past)
    log.close()
    while book.next_ns is not None:
        finish(book, past)
    return past


def step(book: RuleBook, ledger: Ledger, outputs: Any, past: Past) -> None:
    events = ledger.take(outputs, EPOCHS)
    past.events.extend(events)
    if events:
        verdict = book.step(events[-1].decided_ns, events)
        book.accept(verdict)
        past.alerts.extend(verdict.alerts)


def finish(book: RuleBook, past: Past) -> None:
    assert book.next_ns is not None
    verdict = book.step(book.next_ns, [])
    book.accept(verdict)
    past.alerts.extend(verdict.alerts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def heard(folder: Path) -> Past:
    return live(folder)


def again(folder: Path, rules: Any = RULES, **more: Any) -> Past:
    return replay(scores.read(scores.files(folder), **EVERYTHING), rules, place=Location(), **more)


def test_the_same_rules_give_the_same_alerts_under_the_same_ids(folder: Path, heard: Past) -> None:
    past = again(folder)

    assert {rule.name for rule in RULES} == {alert.rule for alert in heard.alerts}
    assert len(heard.alerts) > 10
    assert sorted(alert.id for alert in past.alerts) == sorted(alert.id for alert in heard.alerts)
    by_id = {alert.id: alert for alert in past.alerts}
    for alert in heard.alerts:
        twin = by_id[alert.id]
        assert (twin.at_ns, twin.event.onset_ns, twin.event.level_db) == (
            alert.at_ns, alert.event.onset_ns, alert.event.level_db,
        )  # fmt: skip
        assert twin.event.peak == pytest.approx(alert.event.peak, abs=0.01)


def test_other_thresholds_and_rules_show_what_would_have_been(folder: Path, heard: Past) -> None:
    strict = again(folder, per_label={"group:bird": {"enter": 0.95}, "robin": {"enter": 0.99}})
    fewer = again(folder, RULES[:1])

    assert 0 < len(strict.events) < len(heard.events)
    assert [alert.id for alert in strict.alerts] != [alert.id for alert in heard.alerts]
    assert {alert.rule for alert in fewer.alerts} == {"open"}
    enters = {event.label: event.enter for event in strict.events}
    assert enters == pytest.approx({"robin": 0.99, "owl": 0.95, "siren": 0.5})
    leaves = {event.label: event.leave for event in strict.events}
    assert leaves["robin"] == pytest.approx(0.99 * 0.7)


def test_events_that_other_thresholds_lose_and_gain_are_told_by_label(folder: Path, heard: Past) -> None:
    was = [event for event in heard.events if event.stage == "close"]
    strict = again(folder, per_label={"robin": {"enter": 0.99, "leave": 0.98}, "owl": {"enter": 0.3, "leave": 0.2}})
    robin, owl, siren = sorted(compare_events(was, strict.events), key=lambda change: "ros".find(change.label[0]))

    assert (robin.gained, siren.lost, siren.gained, owl.lost) == ([], [], [], [])
    assert {event.id for event in robin.lost} <= {event.id for event in was}
    assert 0 < len(robin.lost) <= robin.before
    assert robin.before == sum(event.label == "robin" for event in was)
    now = [event for event in strict.events if event.stage == "close" and event.label == "owl"]
    assert owl.after == len(now)
    apart = [
        new
        for new in now
        if not any(
            old.stream == new.stream and old.label == "owl"
            and old.onset_ns < (new.offset_ns or 0) and new.onset_ns < (old.offset_ns or 0)
            for old in was
        )
    ]  # fmt: skip
    assert apart
    assert {event.id for event in owl.gained} == {event.id for event in apart}


def test_decisions_that_are_given_take_the_place_of_all_others(folder: Path) -> None:
    sure = {"robin": Decision(enter=0.97, leave=0.9, min_on=3, min_off=5)}
    given = again(folder, given={"birds": sure}, per_label={"robin": {"enter": 0.1}})
    assert {event.enter for event in given.events if event.label == "robin"} == {0.97}


def test_alerts_are_paired_by_id_then_by_time() -> None:
    was = [make_alert(0), make_alert(100), make_alert(300)]
    will = [make_alert(0), make_alert(110), make_alert(500), make_alert(300, rule="owls")]
    pairs = compare(was, will, near_ns=30 * NS_PER_SECOND)

    assert [(pair.what, pair.shown.rule) for pair in pairs] == [
        ("same", "birds"), ("moved", "birds"), ("gone", "birds"), ("new", "owls"), ("new", "birds"),
    ]  # fmt: skip


def test_the_picture_shows_what_changed(folder: Path, heard: Past) -> None:
    pytest.importorskip("PIL", reason="pillow is absent (pip install streamclf[picture])")
    from streamclf.draw.timeline import TOP, draw

    pairs = compare(heard.alerts, again(folder, RULES[:2]).alerts, near_ns=NS_PER_SECOND)
    since_ns = EPOCHS["mic"]
    image = draw(pairs, heard.events, since_ns=since_ns, until_ns=since_ns + 80 * NS_PER_SECOND)
    below_the_legend = image.crop((0, TOP, *image.size))
    counted = below_the_legend.getcolors(1 << 20)
    assert counted is not None
    colours = {colour for _, colour in counted}

    assert {(0x00, 0x9E, 0x73), (0xD5, 0x5E, 0x00)} <= colours, "same, gone"
    assert (0x00, 0x72, 0xB2) not in colours, "nothing is new"
