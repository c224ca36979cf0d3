"""`streamclf why` over a real store: the gates of what was told and of what was not, and what nearly was an event."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from streamclf.alerts import outbox
from streamclf.alerts.nearest import NearMiss, verdict
from streamclf.alerts.rules import memory
from streamclf.alerts.rules.book import RuleBook
from streamclf.alerts.rules.memory import RuleMemory
from streamclf.alerts.rules.place import Location
from streamclf.alerts.rules.rulefile import load_rules
from streamclf.clock import FRAME_MS, NS_PER_SECOND, StreamClock
from streamclf.commands.why import why
from streamclf.engine.segment import Decision
from streamclf.errors import StoreError, UsageError
from streamclf.store import alive
from streamclf.store.database import FILE_NAME, Store
from streamclf.store.events import StoredEvent, put_events
from streamclf.store.gaps import GapsWaiting
from streamclf.store.packfacts import PackFacts
from streamclf.store.scores import ScoreLog
from streamclf.store.shortid import short_id
from streamclf.types import F32, FrameScores, Gap, Label, Levels
from tests.support.heard import DAWN_NS, ended, opened

RULES = """
[[rule]]
name = "robins"
labels = "robin"
min_peak = 0.5
cooldown_s = 60

[[rule]]
name = "owls"
labels = "tawny_owl"

[[rule]]
name = "anything"
labels = "*"
"""
FACTS = {
    "pack": PackFacts.of(
        "ab",
        [Label("robin", "Robin", "bird"), Label("wren", "Wren", "bird"), Label("noise", "Noise", hidden=True)],
        [Decision(enter=0.5, leave=0.3, min_on=5), Decision(enter=0.5, leave=0.3, min_on=5), Decision(enabled=False)],
    )
}
FIRST, SECOND_, WEAK = opened(), opened(at_s=23), opened(at_s=100, peak=0.41)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


@pytest.fixture
def folder(tmp_path: Path, rules: Path) -> Iterator[Path]:
    """A store in which three robins were judged by RULES, without the rule that was written since."""
    book = RuleBook(load_rules(rules).rules[:2], place=Location(), memory=RuleMemory())
    with closing(Store.open(tmp_path / "store")) as store:
        for event in (FIRST, SECOND_, WEAK):
            for stage in (event, ended(event, after_s=1)):
                keep(store, book, stage)
        keep(store, book, opened(at_s=200, test=True))
        keep_gap(store, Gap("yard", 400 * 16_000, 420 * 16_000 - 1, "paused"))
        yield store.folder


def keep(store: Store, book: RuleBook, event: StoredEvent) -> None:
    verdict = book.step(event.decided_ns, [event])
    with store.transaction() as tx:
        put_events(tx, [event])
        outbox.put(tx, verdict.alerts, now_ns=event.decided_ns)
        outbox.put_reasons(tx, verdict.reasons)
        memory.write(tx, verdict.memory)
    book.accept(verdict)


def keep_gap(store: Store, gap: Gap) -> None:
    waiting = GapsWaiting()
    waiting.take([gap], {gap.stream: StreamClock(16_000, epoch_ns=DAWN_NS)}, now_ns=DAWN_NS)
    with store.transaction() as tx:
        waiting.write(tx)


def log_scores(folder: Path, rows: F32) -> None:
    """rows: (frames, 3) from DAWN_NS on."""
    log = ScoreLog(folder, "run", FACTS)
    level = np.full(len(rows), 0.01, dtype=np.float32)
    log.take([FrameScores("garden", "pack", 0, rows, True, 0), Levels("garden", 0, level, level)], {"garden": DAWN_NS})
    log.close()


def ask(folder: Path, rules: Path, *args: str) -> list[str]:
    env = {"STREAMCLF_STORE_PATH": str(folder), "STREAMCLF_RULES": str(rules), "STREAMCLF_CONFIG": None}
    result = CliRunner().invoke(why, args, env=env, catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return [" ".join(line.split()) for line in result.output.splitlines()]


def clock(after_s: float) -> str:
    return datetime.fromtimestamp(DAWN_NS / NS_PER_SECOND + after_s, UTC).isoformat()


def test_what_was_told_shows_the_gates_it_passed_and_its_alert(folder: Path, rules: Path) -> None:
    said = ask(folder, rules, FIRST.id)
    assert said[0].startswith("robin on garden (pack), ")
    assert "rule robins: told" in said
    assert "peak yes robin peak 0.80 >= 0.50" in said
    assert "cool-down yes cool-down: not told before" in said
    assert any(line.startswith("alert ") for line in said)


def test_what_was_not_told_shows_the_gate_that_held_it_back(folder: Path, rules: Path) -> None:
    assert "cool-down NO cool-down, 37 s left" in ask(folder, rules, SECOND_.id)
    weak = ask(folder, rules, WEAK.id)
    assert "peak NO robin peak 0.41 < 0.50" in weak
    assert "rule robins: not told" in weak
    assert not any(line.startswith("alert ") for line in weak)


def test_rules_that_said_nothing_are_named_with_the_reason(folder: Path, rules: Path) -> None:
    said = ask(folder, rules, FIRST.id)
    assert "rule owls: does not take robin (tawny_owl)" in said
    assert "rule anything: was not in force then" in said


def test_a_rules_file_with_a_mistake_hides_nothing_that_was_kept(folder: Path, rules: Path) -> None:
    rules.write_text("[[rule]")
    said = ask(folder, rules, FIRST.id)
    assert "rule robins: told" in said
    assert any(line.startswith("the rules file cannot be used now") for line in said)


def test_an_event_of_the_self_test_says_so(folder: Path, rules: Path) -> None:
    assert "an event of the self-test: no rule looks at it" in ask(folder, rules, opened(at_s=200).id)


def test_a_time_explains_every_event_around_it(folder: Path, rules: Path) -> None:
    said = ask(folder, rules, clock(22), "--around", "2")
    assert f"event {SECOND_.id}" in said
    assert f"event {FIRST.id}" not in said


def test_a_time_without_event_and_scores_says_what_it_would_take(folder: Path, rules: Path) -> None:
    said = ask(folder, rules, clock(60))
    assert said[0].startswith("no event from ")
    assert said[-1].startswith("no score was logged then, so only events can be explained, not what nearly was one; ")
    assert said[-1].endswith("or for good write [scores] enabled = true and restart it")


def test_where_the_score_log_waits_for_a_restart_that_is_said(
    folder: Path, rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMCLF_SCORES_ENABLED", "true")
    said = ask(folder, rules, clock(60))
    assert "which a daemon takes at its start: restart it if it ran before that was written" in said[-1]


def test_a_time_in_which_nothing_was_heard_says_why(folder: Path, rules: Path) -> None:
    assert any(
        line.startswith("yard: nothing was heard from ") and line.endswith(": paused")
        for line in ask(folder, rules, clock(410))
    )
    assert not any("nothing was heard" in line for line in ask(folder, rules, clock(430)))


def test_a_time_shows_the_labels_that_came_nearest(folder: Path, rules: Path) -> None:
    rows = np.full((500, 3), 0.02, dtype=np.float32)
    rows[200:203] = [0.41, 0.7, 0.99]
    log_scores(folder, rows)
    said = ask(folder, rules, clock(4.5), "--around", "1")
    nearest = [line for line in said if "garden" in line]
    assert [line.split(" pack ")[1] for line in nearest[:2]] == [
        "wren 0.70 >= enter 0.50, on for 60 ms < 100 ms (min_on_ms)",
        "robin 0.41 < enter 0.50",
    ]
    assert nearest[2] == "garden: -40 dBFS at the loudest"
    assert not any("noise" in line for line in said), "a label that is switched off is never near"
    at_end = ask(folder, rules, clock(0.5), "--around", "0.5", "--top", "1")
    assert [line.split(" pack ")[1] for line in at_end if "garden pack" in line] == ["robin 0.02 < enter 0.50 (event)"]


def test_a_label_out_of_season_says_so(
    folder: Path, rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_scores(folder, np.full((50, 3), 0.9, dtype=np.float32))
    species = tmp_path / "species.csv"
    species.write_text("label,from,to\nrobin,,\nwren,12-01,12-31\n")
    monkeypatch.setenv("STREAMCLF_SPECIES_FILE", str(species))
    monkeypatch.setenv("STREAMCLF_SPECIES_PACKS", "pack")
    said = ask(folder, rules, clock(0.5), "--around", "0.4")
    wren = "wren 0.90 >= enter 0.50, but held back by the species list: it has it not at this time of the year"
    assert [line.split(" pack ")[1] for line in said if "garden pack" in line] == [
        "robin 0.90 >= enter 0.50, on for 800 ms (event)",
        wren,
    ]
    species.write_text("label\nnightjar\n")
    said = ask(folder, rules, clock(0.5), "--around", "0.4")
    assert any(line.startswith("the list of species is left out here: ") for line in said)
    assert wren not in " ".join(said)


@pytest.mark.parametrize(
    ("best", "longest", "decision", "text"),
    [
        (0.4999, 0, Decision(enter=0.5), "owl 0.4999 < enter 0.5000"),
        (0.6, 12, Decision(enter=0.5, min_on=5, n=6, m=10), ", and 6 of 10 frames must reach enter"),
        (
            0.6,
            12,
            Decision(enter=0.5, min_on=5, smoothing="median", smoothing_frames=5),
            "before its median over 100 ms",
        ),
        (0.6, 12, Decision(enter=0.5, min_on=5), "owl 0.60 >= enter 0.50, on for 240 ms"),
    ],
)
def test_the_verdict_names_what_was_missing(best: float, longest: int, decision: Decision, text: str) -> None:
    assert verdict(NearMiss(0, "roof", "pack", "owl", best, longest * FRAME_MS, decision)).endswith(text)


def test_what_is_not_there_is_a_sentence(folder: Path, rules: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no event 'run/garden/x'"):
        ask(folder, rules, "run/garden/x")
    with pytest.raises(UsageError, match="TIME 'soon' is not a time"):
        ask(folder, rules, "soon")
    with pytest.raises(StoreError, match="no events have been kept"):
        ask(tmp_path / "nothing", rules, clock(0))


def test_what_was_not_heard_around_an_event_is_told_by_its_short_id(folder: Path, rules: Path) -> None:
    waiting = GapsWaiting()
    clocks = {"garden": StreamClock(16_000, epoch_ns=DAWN_NS)}
    gaps = [Gap("garden", at * 16_000, (at + 2) * 16_000 - 1, reason) for at, reason in ((25, "xrun"), (90, "lost"))]
    waiting.take(gaps, clocks, now_ns=DAWN_NS)
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection, connection:
        waiting.write(connection)
    text = "\n".join(ask(folder, rules, short_id(SECOND_.id)))
    assert f"event {SECOND_.id}" in text
    assert "garden: nothing was heard from" in text
    assert text.count("nothing was heard") == 1
    assert ": xrun" in text


def test_that_no_daemon_ran_is_told(folder: Path, rules: Path) -> None:
    os.truncate(folder / "lock", 0)
    assert "no daemon is at work" not in "".join(ask(folder, rules, "1h"))
    alive.note(folder)
    os.utime(folder / "lock", ns=(DAWN_NS, DAWN_NS))
    assert "no daemon is at work since" in "".join(ask(folder, rules, "1h"))
    assert "no daemon is at work" not in "".join(ask(folder, rules, clock(0)))
