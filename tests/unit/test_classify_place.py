"""`classify --place`: recordings are told of as the daemon at that place would have told of them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamclf.commands.classify import classify
from streamclf.commands.places import day_of
from streamclf.errors import UsageError
from tests.support.ranges import add_range
from tests.support.recordings import bursts
from tools.lab.tinypack import window_row_pack


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """`loud` lives in the south in the first half of the year, and in the north in the second."""
    folder = window_row_pack(tmp_path / "tiny")
    add_range(folder, [[0.9, 1.0, 1.0], [0.001, 1.0, 1.0]])
    return folder


def heard(*args: str | Path) -> Result:
    return CliRunner().invoke(classify, list(map(str, args)))


def told(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [json.loads(line)["label"] for line in result.stdout.splitlines()]


def test_what_does_not_live_there_is_held_back_and_counted(tmp_path: Path, pack: Path) -> None:
    sound = bursts(tmp_path / "S4A_20260301_040000.wav", [0.5, 2.0], seconds=4.0)
    all_of_it = told(heard(sound, "--model", pack))
    assert all_of_it.count("loud") == 2
    north = heard(sound, "--model", pack, "--place", "52.52,13.40")
    assert told(north) == [label for label in all_of_it if label != "loud"]
    assert f"{sound}: 2 events held back: loud 2, by the range model: it is likely by 0.001 here" in north.stderr
    for other in (("--place", "-33.9,18.4"), ("--place", "52.52,13.40", "--date", "2026-09-01")):
        kept = heard(sound, "--model", pack, *other)
        assert told(kept) == all_of_it
        assert kept.stderr == ""


def test_several_files_are_heard_as_one(tmp_path: Path, pack: Path) -> None:
    sounds = [bursts(tmp_path / f"2026{month}01.wav", [0.5], seconds=2.0) for month in ("03", "09")]
    result = heard(*sounds, "--model", pack, "--place", "52.52,13.40", "--jobs", "2")
    assert told(result).count("loud") == 1
    assert result.stderr.count("held back") == 1


def test_what_makes_no_sense_is_refused_in_words(tmp_path: Path, pack: Path) -> None:
    sound = bursts(tmp_path / "night.wav", [0.5], seconds=2.0)
    plain = window_row_pack(tmp_path / "plain", name="plain")
    for args, words in (
        ((pack, "--place", "52.52,13.40"), "does not say in its name when it was recorded"),
        ((pack, "--place", "Berlin"), "is no place; give degrees north and east"),
        ((pack, "--place", "95,13"), "is no place"),
        ((pack, "--date", "2026-05-01"), "add --place LAT,LON"),
        ((pack, "--place", "1,2", "--date", "May"), "give it as 2026-05-01"),
        ((plain, "--place", "1,2", "--date", "2026-05-01"), "plain knows of no places"),
    ):
        result = heard(sound, "--model", *args)
        assert isinstance(result.exception, UsageError), result.output
        assert words in str(result.exception)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("20260501_040000.wav", "2026-05-01"),
        ("S4A00123_20260501_040000.wav", "2026-05-01"),
        ("garden-2026-05-01T04.flac", "2026-05-01"),
        ("20260501040000.wav", "2026-05-01"),
        ("20260501T040000Z.wav", "2026-05-01"),
        ("20260231_20260301.wav", "2026-03-01"),
    ],
)
def test_the_day_is_read_from_the_name(name: str, day: str) -> None:
    assert day_of(f"/2001-01-01/{name}").isoformat() == day


@pytest.mark.parametrize("name", ["night.wav", "123456789012.wav", "2026-13-01.wav", "20260501123.wav"])
def test_a_name_without_a_day_has_none(name: str) -> None:
    with pytest.raises(UsageError):
        day_of(name)
