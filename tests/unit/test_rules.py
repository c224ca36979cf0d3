"""Rules by example: each gate with its sentence, visits, digests, and what is remembered."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from streamclf.alerts.alert import Alert, Gate, Reason
from streamclf.alerts.rules import memory
from streamclf.alerts.rules.book import LATENESS_NS, RuleBook
from streamclf.alerts.rules.memory import RuleMemory
from streamclf.alerts.rules.place import Location, Period, TimeRange
from streamclf.alerts.rules.rule import FIRSTS, Per, Rule, RuleStage, clip_ms
from streamclf.alerts.rules.sun import Sun
from streamclf.alerts.rules.template import Template
from streamclf.clock import NS_PER_SECOND
from streamclf.store.database import Store
from streamclf.store.events import StoredEvent, put_events
from tests.support.heard import DAWN_NS, ended, opened, updated

BERLIN = Location(ZoneInfo("Europe/Berlin"), 52.52, 13.4)
SECOND = NS_PER_SECOND
HOUR = 3600


class Listener:
    """A book that is stepped with one event at a time, and what it said."""

    def __init__(self, *rules: Rule) -> None:
        self.book = RuleBook(rules, place=BERLIN, memory=RuleMemory())
        self.reasons: dict[tuple[str, str], Reason] = {}

    def hear(self, *events: StoredEvent) -> list[Alert]:
        """The alerts of these events alone, without what waits for a window to be over."""
        return [alert for event in events for alert in self._step(event.decided_ns, [event])]

    def wait(self, until_s: float) -> list[Alert]:
        """The alerts of windows that are over `until_s` seconds after DAWN_NS."""
        return self._step(DAWN_NS + round(until_s * SECOND), [])

    def why(self, event: StoredEvent, rule: str = "r") -> dict[str, Gate]:
        """The newest gates of a rule for an event, by name."""
        return {gate.name: gate for gate in self.reasons[event.id, rule].gates}

    def _step(self, at_ns: int, events: list[StoredEvent]) -> list[Alert]:
        verdict = self.book.step(at_ns, events)
        self.book.accept(verdict)
        self.reasons |= {(reason.event_id, reason.rule): reason for reason in verdict.reasons}
        return verdict.alerts


def rule(**fields: object) -> Rule:
    return Rule("r", **({"labels": ("robin",)} | fields))  # type: ignore[arg-type]


def test_a_rule_without_conditions_tells_at_the_opening_and_only_then() -> None:
    listener, robin = Listener(rule(sinks=("log",))), opened()
    alerts = listener.hear(robin, updated(robin, after_s=1), ended(robin, after_s=2))
    assert [(a.rule, a.event, a.stage, a.at_ns, a.sinks) for a in alerts] == [
        ("r", robin, "open", robin.decided_ns, ("log",))
    ]
    assert alerts[0].message == "robin on garden at 05:40:00, peak 0.80"


def test_labels_that_the_rule_does_not_take_are_no_matter_of_it() -> None:
    listener = Listener(rule(labels=("group:bird", "siren")))
    events = [opened("robin"), opened("siren", group="alarm"), opened("dog", group="pet"), opened("any", group="")]
    assert [alert.event.label for alert in listener.hear(*events)] == ["robin", "siren"]
    assert set(listener.reasons) == {(events[0].id, "r"), (events[1].id, "r")}
    assert len(Listener(rule(labels=("*",))).hear(*events)) == 4


@pytest.mark.parametrize(
    ("fields", "changes", "text"),
    [
        ({"streams": ("pond", "roof")}, {}, "stream garden, rule listens to pond, roof"),
        ({"min_peak": 0.5}, {"peak": 0.41}, "robin peak 0.41 < 0.50"),
        ({"min_peak": 0.5}, {"peak": 0.4996}, "robin peak 0.4996 < 0.5000"),
        ({"min_mean": 0.5}, {"mean": 0.2}, "robin mean 0.20 < 0.50"),
        ({"level_dbfs": -30.0}, {}, "level -40.0 dBFS < -30.0 dBFS"),
        ({"level_dbfs": -30.0}, {"level_db": None}, "level unknown, rule wants -30.0 dBFS"),
        ({"time": (TimeRange.parse("06:00-09:30"),)}, {}, "it began at 05:40, rule wants 06:00-09:30"),
        ({"sun": (Sun.DAY, Sun.DUSK)}, {"at_s": -2 * HOUR}, "sun: it is night, rule wants day or dusk"),
        (
            {"stage": RuleStage.CLOSE, "min_duration_ns": 3 * SECOND},
            {},
            "it still goes on, rule waits for its end",
        ),
        (
            {"stage": RuleStage.CONFIRMED, "min_duration_ns": 3 * SECOND},
            {},
            "duration so far 0.10 s < 3.00 s",
        ),
    ],
)
def test_an_event_that_fails_at_a_gate_is_not_told_and_the_gate_says_why(
    fields: dict[str, object], changes: dict[str, object], text: str
) -> None:
    listener, robin = Listener(rule(**fields)), opened(**changes)  # type: ignore[arg-type]
    assert not listener.hear(robin)
    reason = listener.reasons[robin.id, "r"]
    assert not reason.passed
    assert next(gate.text for gate in reason.gates if not gate.passed) == text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"streams": ("garden",)}, "stream garden"),
        ({"min_peak": 0.8}, "robin peak 0.80 >= 0.80"),
        ({"min_mean": 0.4}, "robin mean 0.40 >= 0.40"),
        ({"level_dbfs": -40.0}, "level -40.0 dBFS >= -40.0 dBFS"),
        ({"time": (TimeRange.parse("22:00-05:41"),)}, "it began at 05:40"),
        ({"sun": (Sun.DAY,)}, "sun: it is day"),
        ({"unless": ("group:alarm",)}, "no group:alarm at the same time"),
        ({"cooldown_ns": 60 * SECOND}, "cool-down: not told before"),
        ({"first_days": 1}, "first of the day: never heard"),
        ({"first_days": 30}, "first in 30 days: never heard"),
    ],
)
def test_an_event_that_passes_is_told_with_the_gates_it_passed(fields: dict[str, object], text: str) -> None:
    (alert,) = Listener(rule(**fields)).hear(opened())
    assert [gate.text for gate in alert.gates] == [text]
    assert alert.gates[0].passed


def test_all_gates_are_looked_at_in_their_order() -> None:
    everything = rule(
        streams=("pond",),
        stage=RuleStage.CLOSE,
        min_peak=0.9,
        min_mean=0.9,
        min_duration_ns=SECOND,
        level_dbfs=-1.0,
        time=(TimeRange.parse("00:00-00:01"),),
        sun=(Sun.NIGHT,),
        unless=("siren",),
    )
    listener, robin = Listener(everything), opened()
    listener.hear(robin)
    order = ["stage", "stream", "peak", "mean", "duration", "level", "time", "sun", "unless"]
    assert list(listener.why(robin)) == order
    listener = Listener(
        rule(unless=("siren",), merge_ns=SECOND, count=2, within_ns=SECOND, cooldown_ns=1, first_days=1)
    )
    listener.hear(robin)
    listener.wait(10)
    assert list(listener.why(robin)) == ["unless", "visit", "count", "cool-down", "first"]


def test_confirmed_is_told_as_soon_as_the_event_has_shown_what_is_wanted_and_once() -> None:
    listener = Listener(rule(stage=RuleStage.CONFIRMED, min_peak=0.7, min_duration_ns=2 * SECOND))
    robin = opened(peak=0.5)
    assert not listener.hear(robin, updated(robin, after_s=1, peak=0.8))
    (alert,) = listener.hear(updated(robin, after_s=2, peak=0.8), ended(robin, after_s=3, peak=0.8))
    assert (alert.stage, alert.event.stage) == ("confirmed", "update")


def test_close_is_told_at_the_end_with_its_final_figures() -> None:
    listener = Listener(rule(stage=RuleStage.CLOSE, min_duration_ns=2 * SECOND))
    short, long = opened(), opened(at_s=10)
    alerts = listener.hear(short, ended(short, after_s=1.9), long, updated(long, after_s=1), ended(long, after_s=2.0))
    assert [alert.event.id for alert in alerts] == [long.id]
    assert listener.why(short)["duration"].text == "duration 1.90 s < 2.00 s"


def test_nothing_is_told_while_what_excludes_it_is_on_in_the_same_stream() -> None:
    listener = Listener(rule(unless=("siren", "group:alarm")))
    siren, bell = opened("siren"), opened("bell", group="alarm", stream="pond")
    first, elsewhere, after = opened(at_s=1), opened(at_s=1, stream="roof"), opened(at_s=5)
    told = listener.hear(siren, bell, first, elsewhere, ended(siren, after_s=2), after)
    assert [alert.event.id for alert in told] == [elsewhere.id, after.id]
    assert listener.why(first)["unless"].text == "siren on at the same time"


def test_a_label_does_not_exclude_itself_through_its_group() -> None:
    assert len(Listener(rule(unless=("group:bird",))).hear(opened())) == 1


@pytest.mark.parametrize(("per", "told"), [(Per.LABEL, ["robin", "wren"]), (Per.RULE, ["robin"])])
def test_the_cool_down_holds_for_each_label_or_for_the_rule(per: Per, told: list[str]) -> None:
    listener = Listener(rule(labels=("group:bird",), cooldown_ns=60 * SECOND, per=per))
    again = opened(at_s=23)
    alerts = listener.hear(opened(), opened("wren", at_s=1), again)
    assert [alert.event.label for alert in alerts] == told
    assert listener.why(again)["cool-down"].text == "cool-down, 37 s left"
    assert [alert.event.label for alert in listener.hear(opened(at_s=60))] == ["robin"]


def test_a_clock_that_was_set_back_does_not_silence_a_rule() -> None:
    listener = Listener(rule(cooldown_ns=60 * SECOND))
    assert len(listener.hear(opened(), opened(at_s=-HOUR))) == 2


def test_a_count_is_reached_within_its_time_and_then_begins_anew() -> None:
    listener = Listener(rule(count=3, within_ns=600 * SECOND))
    events = [opened(at_s=at_s) for at_s in (0, 590, 610, 620, 630, 640)]
    told = [alert.event.onset_ns for alert in listener.hear(*events)]
    assert told == [events[3].onset_ns]
    assert listener.why(events[2])["count"].text == "2 of 3 in 10 min"
    assert len(listener.hear(opened(at_s=650))) == 1


def test_the_first_of_the_day_is_told_and_the_next_one_tomorrow() -> None:
    listener = Listener(rule(first_days=1))
    morning, later = opened(), opened(at_s=6 * HOUR)
    assert [alert.event.id for alert in listener.hear(morning, later)] == [morning.id]
    assert listener.why(later)["first"].text == "heard earlier today, rule wants the first of the day"
    assert len(listener.hear(opened(at_s=20 * HOUR))) == 1


def test_first_in_days_is_about_when_it_was_heard_not_when_it_was_told() -> None:
    listener = Listener(rule(first_days=3))
    days = [opened(at_s=day * 24 * HOUR) for day in (0, 2, 4, 7)]
    assert [alert.event.id for alert in listener.hear(*days)] == [days[0].id, days[3].id]
    assert listener.why(days[1])["first"].text == "last heard 2 days ago, rule wants the first in 3 days"


def test_a_cool_down_does_not_swallow_the_first_of_the_day() -> None:
    listener = Listener(rule(first_days=1, cooldown_ns=60 * SECOND))
    midnight_s = 18 * HOUR + 1200
    listener.hear(opened(at_s=midnight_s - 10))
    night, morning = opened(at_s=midnight_s + 20), opened(at_s=midnight_s + 6 * HOUR)
    assert not listener.hear(night)
    assert listener.why(night)["first"].passed
    assert len(listener.hear(morning)) == 1


def test_one_bird_on_three_microphones_is_one_alert_with_the_loudest() -> None:
    listener = Listener(rule(merge_ns=2 * SECOND, message=Template.parse("{label} {stream} ({streams}) x{count}")))
    heard = [
        opened(stream="garden", level_db=-40.0),
        opened(stream="pond", at_s=0.12, level_db=-30.0),
        opened(stream="roof", at_s=0.05, level_db=None),
    ]
    assert not listener.hear(*heard)
    assert listener.why(heard[0])["visit"].text == "visit: waits 2 s for other streams that hear it too"
    assert listener.book.next_ns == heard[0].decided_ns + 2 * SECOND + LATENESS_NS
    assert not listener.wait(3.05)
    (alert,) = listener.wait(3.1)
    assert listener.book.next_ns is None
    assert alert.event == heard[1]
    assert [(share.name, share.offset_ms, share.level_db) for share in alert.streams] == [
        ("garden", 0, -40.0),
        ("roof", 50, None),
        ("pond", 120, -30.0),
    ]
    assert alert.message == "robin pond (garden, roof, pond) x3"
    assert {listener.why(event)["visit"].text for event in heard} == {
        "visit: heard on garden, roof, pond, loudest on pond"
    }


def test_what_comes_after_the_window_is_another_visit() -> None:
    listener = Listener(rule(merge_ns=2 * SECOND))
    listener.hear(opened(), opened(stream="pond", at_s=2.0), opened(stream="pond", at_s=2.1))
    assert [len(alert.streams) for alert in listener.wait(10)] == [2, 1]


def test_a_straggler_within_the_lateness_still_joins_its_visit() -> None:
    listener = Listener(rule(merge_ns=2 * SECOND))
    late = opened(stream="pond", at_s=1.0)
    listener.hear(opened())
    assert not listener.wait(3.0)
    verdict = listener.book.step(DAWN_NS + round(3.09 * SECOND), [late])
    listener.book.accept(verdict)
    assert [share.name for share in listener.wait(4)[0].streams] == ["garden", "pond"]


def test_a_backlog_in_one_step_is_told_as_one_by_one() -> None:
    """More events than are heard between two looks at the windows."""
    merging = rule(labels=("*",), merge_ns=2 * SECOND, cooldown_ns=10 * SECOND, per=Per.RULE)
    events = [opened(f"bird{n % 7}", at_s=n * 0.9, stream=f"mic{n % 3}") for n in range(1000)]
    book = RuleBook([merging], place=BERLIN, memory=RuleMemory())
    at_once = book.step(events[-1].decided_ns, events)
    assert at_once.alerts == Listener(merging).hear(*events)
    assert len(at_once.alerts) > 50


def test_sound_that_runs_ahead_of_the_clock_closes_windows_by_itself() -> None:
    book = RuleBook([rule(merge_ns=2 * SECOND)], place=BERLIN, memory=RuleMemory())
    book.accept(book.step(DAWN_NS, [opened()]))
    (alert,) = book.step(DAWN_NS, [opened(at_s=60)]).alerts
    assert alert.event == opened()


def test_a_digest_is_one_message_a_period_with_counts_and_the_best() -> None:
    listener = Listener(
        rule(labels=("group:bird",), digest=Period.HOUR, message=Template.parse("{count} up to {at:%H:%M}: {labels}"))
    )
    loud = opened(at_s=30, peak=0.97)
    events = [opened(), loud, opened("wren", at_s=60), opened(at_s=90)]
    assert not listener.hear(*events)
    assert listener.why(loud)["digest"].text == "counted for the digest of 06:00"
    assert listener.book.next_ns == DAWN_NS + 1200 * SECOND + LATENESS_NS
    (alert,) = listener.wait(1201)
    assert alert.message == "4 up to 06:00: robin 3, wren 1"
    assert (alert.event, alert.stage, alert.at_ns) == (loud, "digest", DAWN_NS + 1200 * SECOND)
    assert [(tally.label, tally.count, tally.last_ns) for tally in alert.digest] == [
        ("robin", 3, DAWN_NS + 90 * SECOND),
        ("wren", 1, DAWN_NS + 60 * SECOND),
    ]
    assert not listener.wait(3 * HOUR), "nothing heard, nothing told"


def test_other_rules_with_the_same_memory_go_on_where_these_were() -> None:
    listener = Listener(rule(cooldown_ns=60 * SECOND))
    listener.hear(opened())
    listener.book = listener.book.with_rules([rule(cooldown_ns=60 * SECOND, min_peak=0.1)], place=BERLIN)
    assert not listener.hear(opened(at_s=30))
    assert len(listener.hear(opened(at_s=90))) == 1


def test_what_ended_while_no_rule_asked_for_it_is_not_on_any_more() -> None:
    excluding = rule(unless=("siren",))
    listener, siren = Listener(excluding), opened("siren")
    listener.hear(siren)
    for rules, event in (([rule()], ended(siren, after_s=1)), ([excluding], opened(at_s=2))):
        listener.book = listener.book.with_rules(rules, place=BERLIN)
        told = listener.hear(event)
    assert len(told) == 1


def test_of_an_event_that_is_over_nothing_is_remembered_though_its_end_was_lost(tmp_path: Path) -> None:
    rules = [rule(stage=RuleStage.CONFIRMED), Rule("owls", ("owl",), unless=("siren",))]
    book = RuleBook(rules, place=BERLIN, memory=RuleMemory())
    over, open_ = [opened(), opened("siren")], [opened(at_s=1), opened("siren", at_s=1)]
    with closing(Store.open(tmp_path)) as store:
        with store.transaction() as tx:
            memory.write(tx, book.step(DAWN_NS, over + open_).memory)
            put_events(tx, [*(ended(event, after_s=0.5) for event in over), *open_])
        held = memory.load(store.connection).entries
    del held["told"]
    assert {kind: list(entries) for kind, entries in held.items()} == {
        "passed": [("", open_[0].id)],
        "lasting": [("", open_[1].id)],
    }


def test_a_visit_that_waits_is_told_though_the_rule_merges_no_more() -> None:
    listener = Listener(rule(merge_ns=20 * SECOND))
    listener.hear(opened())
    listener.book = listener.book.with_rules([rule()], place=BERLIN)
    assert len(listener.wait(2)) == 1


def test_the_longest_clip_that_a_rule_wants_of_an_event_holds() -> None:
    rules = [rule(clip_ms=4000), rule(labels=("group:bird",), clip_ms=8000, streams=("pond",)), rule(labels=("*",))]
    assert clip_ms(rules, opened()) == 4000
    assert clip_ms(rules, opened(stream="pond")) == 8000
    assert clip_ms(rules, opened("dog", group="")) is None


def test_ids_depend_on_what_was_told_alone() -> None:
    (alert,) = Listener(rule()).hear(opened())
    assert alert.id == "79ab771d0d18f83f120bb596aa6b57de"


def test_a_message_can_say_why() -> None:
    why = rule(min_peak=0.5, sun=(Sun.DAY,), message=Template.parse("{label}: {why}"))
    assert Listener(why).hear(opened())[0].message == "robin: robin peak 0.80 >= 0.50; sun: it is day"


def test_rare_is_what_the_pack_knows_of_the_place_and_nothing_is_told_where_nobody_knows() -> None:
    robin = opened()
    place = replace(BERLIN, likely=lambda pack, label, day: {"robin": 0.04}.get(label))
    for most, told in ((0.1, True), (0.04, True), (0.01, False)):
        listener = Listener(rule(max_likely=most))
        listener.book = RuleBook(listener.book.rules, place=place, memory=RuleMemory())
        assert bool(listener.hear(robin)) is told
    assert listener.why(robin)["likely"].text == "likely here 0.04 > 0.01"
    unknown = Listener(rule(max_likely=1.0))
    assert not unknown.hear(robin)
    assert unknown.why(robin)["likely"].text == "how likely robin is here is not known, rule wants at most 1"


def test_the_first_of_the_season_was_away_for_three_months() -> None:
    day_s = 86_400
    listener = Listener(rule(first_days=FIRSTS["season"]))
    heard = [bool(listener.hear(opened(at_s=day * day_s))) for day in (0, 1, 80, 169, 260)]
    assert heard == [True, False, False, False, True]
    again = opened(at_s=261 * day_s)
    listener.hear(again)
    assert listener.why(again)["first"].text == "heard yesterday, rule wants the first of the season"
