"""`streamclf rules`: every mistake at once, and each rule in words."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from streamclf.commands.rules import rules
from streamclf.errors import ConfigError, PackError
from tools.lab.tinypack import stateful_pack

GOOD = """
[place]
timezone = "Europe/Berlin"
latitude = 52.52
longitude = -13.4

[sink.log]
type = "ndjson"
path = "alerts.ndjson"

[[rule]]
name = "dawn"
labels = ["loud"]
stage = "confirmed"
min_peak = 0.6
min_duration_ms = 1500
sun = ["dawn", "day"]
cooldown_s = 600
merge_ms = 2000

[[rule]]
name = "first"
labels = "*"
first = "day"
time = "22:00-04:00"
digest = "1h"
per = "rule"
sinks = []
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(GOOD)
    return path


def call(*args: str, pack: Path | None = None, models: Path) -> tuple[str, BaseException | None]:
    env = {"STREAMCLF_MODELS": str(models), "STREAMCLF_MODEL": str(pack) if pack else None, "STREAMCLF_CONFIG": None}
    result = CliRunner().invoke(rules, args, env=env, standalone_mode=False)
    return result.output, result.exception


def test_a_good_file_is_said_to_be_good(path: Path, tmp_path: Path) -> None:
    pack = stateful_pack(tmp_path / "pack")
    assert call("check", str(path), pack=pack, models=tmp_path / "none") == (
        f"{path} is good: 2 rules and 1 sink\n",
        None,
    )


def test_labels_are_checked_against_the_packs(path: Path, tmp_path: Path) -> None:
    path.write_text(path.read_text().replace('"loud"', '"load"'))
    _, fault = call("check", str(path), pack=stateful_pack(tmp_path / "pack"), models=tmp_path / "none")
    assert isinstance(fault, ConfigError)
    assert str(fault).endswith("the packs in use tell no events of load; did you mean loud?")


def test_with_no_pack_named_labels_are_those_of_the_default_model(path: Path, tmp_path: Path) -> None:
    # every stream has the label loud
    assert call("check", str(path), models=tmp_path / "none") == (f"{path} is good: 2 rules and 1 sink\n", None)
    path.write_text(path.read_text().replace('"loud"', '"c1"'))
    _, fault = call("check", str(path), models=tmp_path / "none")
    assert isinstance(fault, ConfigError)
    assert "no events of c1" in str(fault)
    path.write_text(path.read_text().replace('"c1"', '"speech"'))
    assert call("check", str(path), models=tmp_path / "none") == (f"{path} is good: 2 rules and 1 sink\n", None)
    assert isinstance(call("check", str(path), pack=tmp_path / "gone", models=tmp_path / "none")[1], PackError)


def test_every_mistake_has_its_line(path: Path, tmp_path: Path) -> None:
    path.write_text(GOOD.replace("0.6", "6").replace("1h", "1w"))
    said, fault = call("check", str(path), models=tmp_path / "none")
    assert [line.split(": ")[0] for line in said.splitlines()] == [f"{path}:15", f"{path}:26"]
    assert str(fault) == f"{path} has 2 mistakes; mend the lines above"


def test_each_rule_is_shown_in_words(path: Path, tmp_path: Path) -> None:
    said, fault = call("show", str(path), pack=stateful_pack(tmp_path / "pack"), models=tmp_path / "none")
    assert fault is None
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines[0] == f"2 rules and 1 sink from {path}; times are of Europe/Berlin, the sun of 52.52 N 13.4 W"
    assert lines[3] == (
        "dawn loud peak >= 0.6, lasts 1.5 s, dawn or day told in the last 10 min, another stream had it within 2 s log"
    )
    assert lines[4] == "first * it begins, 22:00-04:00, first of the day a digest of 1h gathers it nobody"
    assert lines[-1] == "log ndjson writes a line of JSON to a file"


def test_a_bad_file_is_not_shown(path: Path, tmp_path: Path) -> None:
    path.write_text("[[rule]")
    assert isinstance(call("show", str(path), models=tmp_path / "none")[1], ConfigError)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    assert "does not exist" in str(call("check", str(tmp_path / "no.toml"), models=tmp_path / "none")[1])


def test_what_sites_share_needs_other_sites(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(path.read_text().replace("cooldown_s = 600", "cooldown_s = 600\nshared_s = 60"))
    pack = stateful_pack(tmp_path / "pack")
    _, fault = call("check", str(path), pack=pack, models=tmp_path / "none")
    assert isinstance(fault, ConfigError)
    assert str(fault).endswith(
        'rule "dawn": shared_s: needs other sites, and the configuration has no [nats]; '
        "add [nats] with url and site to the configuration, or leave it out"
    )
    monkeypatch.setenv("STREAMCLF_NATS_URL", "nats://127.0.0.1:4222")
    monkeypatch.setenv("STREAMCLF_NATS_SITE", "garden")
    assert call("check", str(path), pack=pack, models=tmp_path / "none")[1] is None
    said, _ = call("show", str(path), pack=pack, models=tmp_path / "none")
    assert "another site told within 1 min" in said
