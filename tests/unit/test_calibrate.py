"""Thresholds from a budget: events counted as the segmenter counts them, and an interval that holds what it says."""

import shlex
import subprocess
import tomllib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.alerts.calibrate import ScoredClip, ScoreRun, events_in, interval, onsets, propose, runs_of
from streamclf.clock import FRAMES_PER_SECOND, NS_PER_FRAME
from streamclf.commands.calibrate import calibrate, undo
from streamclf.config.edit import set_thresholds
from streamclf.engine.segment import Decision, Segmenter
from streamclf.errors import ConfigError, StoreError, StreamclfError, UsageError
from streamclf.store import scores
from streamclf.store.database import Store
from streamclf.store.events import put_events, set_mark
from streamclf.store.packfacts import PackFacts
from streamclf.store.scores import ScoreLog
from streamclf.types import F32, FrameScores, Label, Stage
from tests.support.laws import tries
from tests.support.storing import START_NS, stored

HOUR = 3600 * FRAMES_PER_SECOND


@given(
    st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.9]), max_size=80),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 6),
    st.sampled_from([(1, 1), (2, 3)]),
)
@settings(max_examples=tries(300), deadline=None)
def test_events_begin_where_the_segmenter_begins_them(
    values: list[float], min_on: int, min_off: int, reach_back: int, n_of_m: tuple[int, int]
) -> None:
    decision = Decision(
        enter=0.5, leave=0.3, min_on=min_on, min_off=min_off, reach_back=reach_back, n=n_of_m[0], m=n_of_m[1]
    )
    row = np.array(values, dtype=np.float32)
    segmenter = Segmenter("mic", "birds", [Label("robin", "Robin")], [decision])
    events = [*segmenter.push(0, row[:, None]), *segmenter.finish()]

    assert events_in(row, decision) == [
        (event.onset_frame, event.offset_frame) for event in events if event.stage is Stage.CLOSE
    ]


def site(seed: int, hours: int, *, per_hour: float, burst: float = 1.0) -> F32:
    """Bumps of random height at random times: `per_hour` of them on average, each followed by others near by."""
    chance = np.random.default_rng(seed)
    row = chance.uniform(0.0, 0.1, hours * HOUR).astype(np.float32)
    for at in chance.integers(0, len(row) - 2000, chance.poisson(per_hour * hours / burst)):
        for _ in range(1 + chance.poisson(burst - 1.0)):
            first = int(at + chance.integers(0, 1500))
            row[first : first + 15] = np.maximum(row[first : first + 15], 0.3 + 0.7 * chance.random() ** 2)
    return (np.rint(row * 255) / 255).astype(np.float32)  # a score log knows so many values


@pytest.mark.parametrize("burst", [1.0, 4.0])
def test_the_rate_of_other_hours_lies_in_the_interval(burst: float) -> None:
    inside, realised = 0, []
    for seed in range(24):
        row, other = (site(at, 2, per_hour=60, burst=burst) for at in (seed, 1000 + seed))
        found = propose("x", [ScoreRun("mic", 0, row)], Decision(enter=0.4, leave=0.28, min_on=5), budget=8.0)
        rate = len(onsets(other, found.after)) / 2
        inside += found.low <= rate <= found.high
        realised.append(rate)
        assert found.met
        assert found.rate <= 8.0
        assert found.rate_before > 12.0

    assert inside >= 20, f"{inside} of 24; 95 % were promised"
    assert np.mean(realised) == pytest.approx(8.0, rel=0.25), "the budget is used, and kept on average"


def test_a_longer_minimum_duration_is_taken_where_it_misses_less() -> None:
    row = site(1, 4, per_hour=60)
    bird = np.full(200, 0.45, dtype=np.float32)  # a quiet one that lasts; every bump is over after 15 frames
    decision = Decision(enter=0.4, leave=0.28, min_on=5)
    with_clips = propose(
        "x", [ScoreRun("mic", 0, row)], decision, budget=1.0, clips=[ScoredClip("a", bird), ScoredClip("b", bird)]
    )
    without = propose("x", [ScoreRun("mic", 0, row)], decision, budget=1.0)

    assert (with_clips.missed_before, with_clips.missed) == (0, 0)
    assert with_clips.after.min_on > 15
    assert without.after.min_on == 5
    assert without.after.enter > with_clips.after.enter


def test_what_was_right_does_not_count() -> None:
    row = np.zeros(HOUR, dtype=np.float32)
    for at in (1000, 2000, 3000):
        row[at : at + 50] = 0.9
    right = {"mic": [(900 * NS_PER_FRAME, 2100 * NS_PER_FRAME)]}
    runs = [ScoreRun("mic", 0, row)]

    assert propose("x", runs, Decision(), budget=1.0, right=right).rate == 1.0
    assert not propose("x", [ScoreRun("mic", 0, np.ones(HOUR, dtype=np.float32))], Decision(), budget=0.5).met


def test_no_alarm_in_the_log_still_leaves_room_for_some() -> None:
    low, high = interval(np.zeros(6, dtype=np.int64), 1.0)
    assert low == 0
    assert 1 <= high <= 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Store.open(tmp_path).close()
    birds = [Label("robin", "Robin", "bird"), Label("owl", "Owl", "bird")]
    labels = [*birds, Label("hidden", "Hidden"), Label("siren", "Siren")]
    decisions = [Decision(enter=0.4, leave=0.28), Decision(), Decision(enabled=False), Decision()]
    log = ScoreLog(tmp_path, "run1", {"birds": PackFacts.of("ab", labels, decisions)})
    silence = np.zeros(2 * HOUR, dtype=np.float32)
    rows = np.stack([site(2, 2, per_hour=30), silence, site(3, 2, per_hour=9), silence + 1.0], axis=1)
    for first in range(0, len(rows), 500):
        log.take([FrameScores("mic", "birds", first, rows[first : first + 500], True, 0)], {"mic": START_NS})
    log.close()
    return tmp_path


def call(folder: Path, *args: str) -> tuple[str, str]:
    # nothing of this is to find its way into the configuration of who runs the tests
    env = {"STREAMCLF_STORE_PATH": str(folder), "STREAMCLF_CONFIG": None, "XDG_CONFIG_HOME": str(folder / "config")}
    given = ("--since", "2023-11-14T22:00:00+00:00", *args)
    result = CliRunner().invoke(calibrate, given, env=env, catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr


def test_what_it_writes_is_configuration(folder: Path) -> None:
    text, told = call(folder, "--budget", "1/hour", "--labels", "robin")
    proposed = tomllib.loads(text)["segmentation"]["robin"]
    stretches = list(scores.read(scores.files(folder), since_ns=0, until_ns=1 << 62))
    (runs,) = runs_of(stretches, "robin").values()
    kept = Decision(enter=proposed["enter"] - 5e-4, leave=proposed["leave"], min_on=proposed["min_on_ms"] // 20)

    assert [len(run.scores) for run in runs] == [2 * HOUR]
    assert 0 < len(onsets(runs[0].scores, kept)) <= 3
    assert "robin  0.40 -> " in told
    assert set(tomllib.loads(call(folder, "--budget", "1/hour")[0])["segmentation"]) == {"robin", "owl", "siren"}


def test_marks_say_what_was_no_false_alarm(folder: Path) -> None:
    """An event that was right, and one of another label that was this one instead."""
    assert " 0.0 -> 0.0 " not in call(folder, "--budget", "1/day", "--labels", "robin")[1]
    with closing(Store.open(folder)) as store, store.transaction() as tx:
        middle_ns = START_NS + HOUR * NS_PER_FRAME
        first = stored(1, offset_ns=middle_ns, onset_ns=START_NS)
        second = stored(2, label="owl", onset_ns=middle_ns, offset_ns=middle_ns + HOUR * NS_PER_FRAME)
        put_events(tx, [first, second])
        set_mark(tx, first.id, "right")
        set_mark(tx, second.id, "wrong", "robin")
    assert " 0.0 -> 0.0 " in call(folder, "--budget", "1/day", "--labels", "robin")[1]


def test_applied_it_stands_in_the_configuration_and_the_old_one_beside_it(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "my.toml"
    own.write_text('# mine\nsource = ["demo"]\n\n[segmentation.robin]  # loud here\nenter = 0.4\nn = 2\nm = 3\n')
    before = own.read_text()
    told, _ = call(folder, "--budget", "1/hour", "--labels", "group:bird", "--apply", "--config", str(own))
    after = tomllib.loads(own.read_text())
    (kept,) = tmp_path.glob("my.toml.before-*")

    assert own.read_text().startswith('# mine\nsource = ["demo"]')
    assert set(after["segmentation"]) == {"robin", "owl"}
    assert after["segmentation"]["robin"]["enter"] > 0.4
    assert after["segmentation"]["robin"]["m"] == 3, "what it does not speak of stays"
    assert kept.read_text() == before
    back = told.partition("to go back: ")[2]
    subprocess.run(shlex.split(back), check=True)
    assert own.read_text() == before


def test_the_first_configuration_is_made_and_taken_back(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "new" / "config.toml"
    told = set_thresholds(own, {"owl": {"enter": 0.7}}, note="why", stamp="now")
    assert told is None
    assert own.read_text() == "[segmentation.owl]\nenter = 0.7 # why\n"
    assert undo(own, told) == f"rm {own}"


@pytest.mark.parametrize(
    "written",
    [
        "segmentation = {owl = {enter = 0.5}}\n",
        "segmentation.owl.enter = 0.5\n",
        "[segmentation]\nowl.enter = 0.5\n",
        '[segmentation."*"]\nenter = 0.3\n[server]\nport = 9000\n[segmentation.robin]\nn = 2\nm = 4\n',
        "[segmentation]\n",
        "# nothing\n",
    ],
)
def test_a_file_is_edited_whichever_way_it_writes_tables(tmp_path: Path, written: str) -> None:
    own = tmp_path / "config.toml"
    own.write_text(written)
    wanted = tomllib.loads(written)
    table = wanted.setdefault("segmentation", {}).setdefault("owl", {})
    table |= {"enter": 0.7, "leave": 0.5}
    set_thresholds(own, {"owl": {"enter": 0.7, "leave": 0.5}}, note="why", stamp="now")
    assert tomllib.loads(own.read_text()) == wanted


def test_what_would_be_refused_is_not_written(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "config.toml"
    own.write_text("sorce = 3\n")
    with pytest.raises(ConfigError, match="did you mean source"):
        call(folder, "--budget", "1/hour", "--apply", "--config", str(own))
    own.write_text("source = []\n")
    with pytest.raises(ConfigError, match=r"config\.toml: segmentation"):
        set_thresholds(own, {"owl": {"enter": 7.0}}, note="", stamp="now")
    assert [path.name for path in tmp_path.iterdir() if "config" in path.name] == ["config.toml"]
    assert own.read_text() == "source = []\n"


@pytest.mark.parametrize(
    ("args", "fault", "sentence"),
    [
        (("--budget", "1/day", "--apply", "--out", "x"), UsageError, "give one of them"),
        (("--budget", "1/day", "--labels", "siren", "--apply"), StreamclfError, "so nothing was written; allow more"),
        (("--budget", "1/day", "--labels", "robbin"), UsageError, "did you mean robin"),
        (("--budget", "one"), UsageError, "--budget 'one' is not a rate; write such as 1/day"),
        (("--budget", "1/day", "--labels", "wren"), UsageError, "no score of 'wren' was logged"),
        (("--budget", "1/day", "--until", "2020-01-01"), StoreError, "no scores were logged"),
    ],
)
def test_a_mistake_is_one_sentence(folder: Path, args: tuple[str, ...], fault: type[Exception], sentence: str) -> None:
    with pytest.raises(fault, match=sentence):
        call(folder, *args)
