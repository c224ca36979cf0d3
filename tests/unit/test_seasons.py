"""What a pack says of place and week holds species back, and says so."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from streamclf.config import Config, SpeciesConfig
from streamclf.engine.build import build_engine, read_seasons
from streamclf.engine.offline import run_blocks
from streamclf.engine.seasons import Where
from streamclf.errors import ConfigError, PackError
from streamclf.model.loader import load_pack
from streamclf.model.pack import Pack
from streamclf.model.range import likely, week_of
from streamclf.types import Event
from tests.support.ranges import add_range
from tools.lab.tinypack import put_file, window_row_pack

NORTH, SOUTH = (52.5, 13.4), (-33.9, 18.4)
MAY, NOVEMBER = date(2026, 5, 10), date(2026, 11, 10)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """In the first half of the year `loud` lives in the north, c1 in the south, c2 everywhere."""
    folder = window_row_pack(tmp_path / "tiny")
    add_range(folder, [[0.01, 0.9, 0.5], [0.8, 0.002, 0.5]])
    return load_pack(folder)


def test_the_year_has_48_weeks_of_equal_length() -> None:
    assert [week_of(date(2026, *day)) for day in ((1, 1), (1, 7), (1, 8), (1, 9), (7, 1), (12, 31))] == [
        1, 1, 2, 2, 24, 48,
    ]  # fmt: skip
    assert week_of(date(2028, 12, 31)) == 48
    counts = np.bincount([week_of(date.fromordinal(date(2026, 1, 1).toordinal() + day)) for day in range(365)])
    assert len(counts) == 49
    assert set(counts[1:]) == {7, 8}


def test_a_species_is_told_of_where_and_when_it_is_likely(pack: Pack) -> None:
    seasons = read_seasons(Config(), [pack], NORTH)
    assert seasons.limited == {"tiny-window-row"}
    assert seasons.allowed("tiny-window-row", MAY) == frozenset({"loud", "c2"})
    assert seasons.allowed("tiny-window-row", NOVEMBER) == frozenset({"c1", "c2"})
    assert seasons.held("tiny-window-row", "c1", MAY) == (
        "the range model: it is likely by 0.002 here in that week, and species.likely is 0.03"
    )
    assert seasons.held("tiny-window-row", "loud", MAY) == ""
    assert seasons.likely("tiny-window-row", "c2", MAY) == pytest.approx(0.5)
    assert read_seasons(Config(), [pack], SOUTH).allowed("tiny-window-row", MAY) == frozenset({"c1", "c2"})


def test_without_a_place_or_at_0_all_may_be_told(pack: Pack) -> None:
    for config, where in ((Config(), None), (Config(species=SpeciesConfig(likely=0.0)), NORTH)):
        seasons = read_seasons(config, [pack], where)
        assert seasons.allowed("tiny-window-row", MAY) is None
        assert seasons.held("tiny-window-row", "c1", MAY) == ""
        assert seasons.limited == set()


def test_a_list_and_a_place_hold_together(pack: Pack, tmp_path: Path) -> None:
    path = tmp_path / "species.csv"
    path.write_text("label\nloud\nc1\n")
    config = Config(species=SpeciesConfig(file=str(path), packs=("tiny-window-row",)))
    seasons = read_seasons(config, [pack], NORTH)
    assert seasons.allowed("tiny-window-row", MAY) == frozenset({"loud"})
    assert seasons.held("tiny-window-row", "c2", MAY).startswith("the species list")
    assert seasons.held("tiny-window-row", "c1", MAY).startswith("the range model")


def test_what_is_held_back_begins_no_event(pack: Pack) -> None:
    tone = (0.3 * np.sin(np.arange(16_000) / 3)).astype(np.float32)

    def events(where: Where) -> set[str]:
        engine = build_engine(Config(model=(pack.path,)))
        outputs = run_blocks(engine, "a", rate=16_000, blocks=[np.zeros_like(tone), tone])
        first = next(outputs)
        engine.allow(["tiny-window-row"], read_seasons(Config(), [pack], where).allowed("tiny-window-row", MAY))
        return {one.label for some in (first, *outputs) for one in some if isinstance(one, Event)}

    assert "loud" in events(NORTH)
    assert "loud" not in events(SOUTH)


def test_a_range_that_is_none_is_refused(pack: Pack) -> None:
    folder = Path(pack.path)
    add = folder.parent / "other"
    other = window_row_pack(add, classes=4)
    add_range(other, [[0.0] * 3, [1.0] * 3])
    with pytest.raises(PackError, match=r"for 48 weeks and 4 labels; add the pack again"):
        likely(load_pack(other), latitude=1.0, longitude=1.0)
    put_file(folder, "range.onnx", b"no graph")
    with pytest.raises(PackError, match=r"range\.onnx of pack tiny-window-row is not an ONNX file"):
        load_pack(folder)


def test_a_list_for_no_pack_is_a_mistake_all_the_same(pack: Pack, tmp_path: Path) -> None:
    config = Config(species=SpeciesConfig(file=str(tmp_path / "x.csv"), packs=("absent",)))
    with pytest.raises(ConfigError, match=r"species\.packs names 'absent'"):
        read_seasons(config, [pack], NORTH)
