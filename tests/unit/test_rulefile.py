"""A rules file: read as a whole, and every mistake told with its line, its key and what to write instead."""

import os
import tomllib
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streamclf.alerts.rules import mistakes as mistakes_module
from streamclf.alerts.rules.place import Location, Period, TimeRange
from streamclf.alerts.rules.rule import DIGEST_MESSAGE, MESSAGE, Per, RuleStage
from streamclf.alerts.rules.rulefile import RuleFile, load_rules, parse_rules
from streamclf.alerts.rules.sun import Sun
from streamclf.alerts.rules.table import EXAMPLES, RuleTable, key_meant
from streamclf.alerts.sinks.ndjson import NdjsonConfig
from streamclf.errors import ConfigError
from streamclf.toml import lines_of
from tests.support.mistakes import KNOWN, MISTAKES, RULE

GOOD = """\
[place]
timezone = "Europe/Berlin"
latitude = 52.52
longitude = 13.4

[sink.log]
type = "ndjson"
path = "alerts.ndjson"

[sink.phone]
type = "apprise"
url = "ntfy://birds"

[[rule]]
name = "dawn"
labels = ["robin", "group:bird"]
streams = "garden"
stage = "confirmed"
min_peak = 0.6
min_mean = 0.4
min_duration_ms = 1500
level_dbfs = -45
time = ["22:00-04:00", "06:00-09:30"]
sun = ["dawn", "day"]
unless = "group:alarm"
count = 3
within_min = 10
cooldown_s = 600
first = "day"
per = "rule"
merge_ms = 2000
shared_s = 60
clip_ms = 8000
sinks = ["phone"]
message = "{label} at {time:%H:%M}"

[[rule]]
name = "evening"
labels = "*"
digest = "1d"
days = 30
"""


def only(text: str) -> tuple[int, str]:
    file, mistakes = parse_rules(text, known=KNOWN)
    assert len(mistakes) == 1, [str(mistake) for mistake in mistakes]
    assert file == RuleFile(), "nothing of a file with a mistake may be used"
    return mistakes[0].line, str(mistakes[0])


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_line_key_and_suggestion(mistake: str) -> None:
    text, line, names, suggests = MISTAKES[mistake]
    at, says = only(text)
    assert at == line
    assert names in says
    assert suggests in says.split("; ", 1)[1]


def test_keys_and_times_are_understood_as_people_write_them() -> None:
    plain = GOOD.replace("cooldown_s = 600", 'cooldown = "10 min"').replace("within_min = 10", 'within = "10m"')
    plain = plain.replace("merge_ms = 2000", 'merge_ms = "2 s"').replace('"1d"', '"daily"')
    plain = plain.replace("22:00-04:00", "10 pm - 4:00").replace("06:00-09:30", "6:00 to 9:30")
    assert parse_rules(plain, known=KNOWN) == parse_rules(GOOD, known=KNOWN)


@pytest.mark.parametrize("text", ["6-22", "6.00-22.00", "6h00 - 22h", "6 am to 10 pm"])
def test_a_range_of_hours_is_understood_as_people_write_it(text: str) -> None:
    assert TimeRange.parse(text) == TimeRange(6 * 60, 22 * 60)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("quiet", 'did you mean time? An example is time = "06:00-09:30"'),
        ("min-score", "did you mean min_peak? An example is min_peak = 0.6"),
        ("Confidence", "did you mean min_peak?"),
        ("microphone", 'did you mean streams? An example is streams = ["garden"]'),
        ("species", "did you mean labels?"),
        ("night", 'did you mean sun? An example is sun = "night"'),
        ("season", 'did you mean first? An example is first = "season"'),
        ("throttle", "did you mean cooldown_s?"),
        ("enabled", "a rule that stands here holds"),
        ("min_peek", "did you mean min_peak?"),
        ("frobnicate", "there is name, labels"),
    ],
)
def test_a_word_for_a_key_that_has_another_name_is_answered_with_that(word: str, hint: str) -> None:
    _, mistakes = parse_rules(f"{RULE}{word} = 1\n")
    assert [hint in str(mistake) for mistake in mistakes] == [True]


def test_each_key_that_is_suggested_is_there_and_no_key_is_a_word_for_another() -> None:
    words = [
        "quiet",
        "threshold",
        "to",
        "rare",
        "summary",
        "text",
        "clip",
        "mean",
        "limit",
        "class",
        "mic",
        "on",
        "new",
    ]
    assert {key_meant(word) for word in words} <= set(RuleTable.__struct_fields__) & set(EXAMPLES)
    assert not [word for word in RuleTable.__struct_fields__ if key_meant(word)]


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ('cooldown = "soon"', "cooldown: expected number, got 'soon'"),
        ('cooldown = "10 min"\ncooldown_s = 5', "cooldown: unknown key"),
        ("min_duration = 1.5", "min_duration: expected whole number, got 1.5"),
    ],
)
def test_what_a_plain_key_cannot_mean_is_a_mistake(key: str, names: str) -> None:
    _, says = only(f'{RULE}stage = "close"\n{key}\n')
    assert names in says


def test_all_mistakes_of_a_file_are_found_at_once_by_line() -> None:
    lines = GOOD.replace("0.6", "6").replace('"robin"', '"robyn"').replace('type = "ndjson"', 'type = "json"')
    _, mistakes = parse_rules(lines.replace("days = 30", "days = 0"), known=KNOWN)
    assert [mistake.line for mistake in mistakes] == [7, 19, 41]  # labels wait until each key of the rule is good


def test_loading_tells_the_first_mistake_and_how_many_more(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(f"{RULE}min_peek = 1\nmin_mean = 2\n")
    with pytest.raises(ConfigError) as caught:
        load_rules(path)
    assert str(caught.value).startswith(f'{path}:4: rule "r": min_peek: unknown key; did you mean min_peak? (1 more;')
    assert "\n" not in str(caught.value)


def test_a_good_file_is_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(GOOD)
    file = load_rules(path, known=KNOWN)
    assert file.place == Location(ZoneInfo("Europe/Berlin"), 52.52, 13.4)
    assert file.sinks["log"] == NdjsonConfig(path="alerts.ndjson")
    dawn, evening = file.rules
    assert (dawn.labels, dawn.streams, dawn.unless) == (("robin", "group:bird"), ("garden",), ("group:alarm",))
    assert (dawn.stage, dawn.per, dawn.sun) == (RuleStage.CONFIRMED, Per.RULE, (Sun.DAWN, Sun.DAY))
    assert (dawn.min_peak, dawn.min_mean, dawn.level_dbfs) == (0.6, 0.4, -45.0)
    assert (dawn.min_duration_ns, dawn.merge_ns) == (1_500_000_000, 2_000_000_000)
    assert dawn.clip_ms == 8000
    assert (dawn.cooldown_ns, dawn.count, dawn.within_ns) == (600_000_000_000, 3, 600_000_000_000)
    assert dawn.time == (TimeRange(22 * 60, 4 * 60), TimeRange(6 * 60, 9 * 60 + 30))
    assert (dawn.first_days, dawn.sinks, dawn.message.text) == (1, ("phone",), "{label} at {time:%H:%M}")
    assert (evening.labels, evening.digest, evening.first_days) == (("*",), Period.DAY, 30)
    assert evening.message is DIGEST_MESSAGE


def test_a_rule_that_names_no_sink_goes_to_all_and_one_that_names_none_to_none() -> None:
    sinks = '[sink.a]\ntype = "desktop"\n[sink.b]\ntype = "desktop"\n'
    file, mistakes = parse_rules(f'{sinks}{RULE}[[rule]]\nname = "s"\nlabels = "wren"\nsinks = []\n')
    assert not mistakes
    assert [rule.sinks for rule in file.rules] == [("a", "b"), ()]
    assert file.rules[0].message is MESSAGE


def test_without_packs_any_label_may_be_named() -> None:
    assert not parse_rules('[[rule]]\nname = "r"\nlabels = ["nightjar"]\nstreams = ["roof"]\n')[1]


def test_an_empty_file_has_no_rules() -> None:
    assert parse_rules("") == (RuleFile(), [])


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "binary"])
def test_what_is_no_rules_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "rules.toml"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "binary":
            path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"rules\.toml"):
        load_rules(path)


def test_lines_are_found_in_any_layout() -> None:
    text = (
        '# comment\n[place]\ntimezone = "UTC"\n\n[[rule]]  # first\nname = """\na = 1\n[x]\n"""\n'
        'labels = [\n  "robin",\n  "wren",\n]\n[[rule]]\nname = \'b\'\nlabels = "robin"\n"min_peak" = 3\n'
        '[sink]\nphone = { type = "desktop", x = 1 }\n'
    )
    _, mistakes = parse_rules(text, known=KNOWN)
    assert [(mistake.line, mistake.key) for mistake in mistakes] == [
        (6, 'rule "a = 1\n[x]\n": name'),
        (17, 'rule "b": min_peak'),
        (19, "sink.phone.x"),
    ]


def labelled(*, last: str = "robin") -> str:
    """2,000 labels one a line; `last` is on line 2003."""
    return '[[rule]]\nname = "r"\nlabels = [\n' + 1999 * '  "wren",\n' + f'  "{last}",\n]\n'


def test_a_faultless_file_is_parsed_once_and_no_line_of_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def counted(text: str, **how: Any) -> Any:
        parsed.append(text)
        return real(text, **how)

    def never(text: str) -> Any:
        raise AssertionError("no line is needed where there is no mistake")

    real = tomllib.loads
    monkeypatch.setattr(tomllib, "loads", counted)
    monkeypatch.setattr(mistakes_module, "lines_of", never)
    for text in (GOOD, labelled()):
        assert not parse_rules(text, known=KNOWN)[1]
    assert parsed == [GOOD, labelled()]


def test_lines_are_looked_for_once_however_many_mistakes_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def counted(text: str) -> Any:
        looked.append(text)
        return real(text)

    real = lines_of
    monkeypatch.setattr(mistakes_module, "lines_of", counted)
    _, mistakes = parse_rules(labelled().replace("wren", "wrenn"), known=KNOWN)
    assert [mistake.line for mistake in mistakes] == list(range(4, 2003))
    assert mistakes[0].hint == "did you mean wren?"
    assert mistakes[-1].hint.startswith("there is *, group:alarm"), "a search for each would take seconds"
    assert len(looked) == 1


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_mistake_at_the_end_of_a_long_list_is_told_at_its_own_line(tmp_path: Path, mark: str, ending: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes((mark + labelled(last="robbin").replace("\n", ending)).encode())
    with pytest.raises(ConfigError) as raised:
        load_rules(path, known=KNOWN)
    told = 'rule "r": labels: the packs in use tell no events of robbin; did you mean robin?'
    assert str(raised.value) == f"{path}:2003: {told}"
    path.write_bytes((mark + labelled().replace("\n", ending)).encode())
    assert load_rules(path, known=KNOWN).rules[0].labels[-1] == "robin"


def test_an_entry_of_the_wrong_kind_is_told_at_its_own_line() -> None:
    text = labelled().replace('  "robin",', "  3,")
    assert only(text) == (
        2003,
        'rule "r": labels: expected text, got 3; write for example labels = ["robin", "group:bird"]',
    )


@pytest.mark.parametrize("key", ["min_peak", "count", "labels", "name", "message", "type"])
@pytest.mark.parametrize("number", [5000 * "9", "0x" + 5000 * "f", "1" + 4000 * "0", "-" + 4000 * "9", "1e99999"])
def test_a_number_of_very_many_digits_is_a_sentence(key: str, number: str) -> None:
    table = "[sink.a]\n" if key == "type" else RULE.replace(f"{key} =", "sinks =")
    line, says = only(f"{table}{key} = {number}\n")
    assert line == table.count("\n") + 1
    assert len(says) < 400


@pytest.mark.parametrize("depth", [50, 200, 300, 400, 450, 480, 500, 1000, 100_000])
@pytest.mark.parametrize("brackets", ["[]", ("{a=", "}")])
def test_brackets_in_brackets_are_a_sentence_at_any_depth(depth: int, brackets: tuple[str, str]) -> None:
    opens, closes = brackets
    line, says = only(f"{RULE}streams = {depth * opens}1{depth * closes}\n")
    assert line == 4
    assert len(says) < 400
