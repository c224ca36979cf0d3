"""What is wrong with the daemon is told once, and again when it is well."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamclf.alerts.alert import Alert
from streamclf.audio.ring import Ring
from streamclf.clock import NS_PER_SECOND
from streamclf.config import WatchConfig
from streamclf.daemon.watchman import Matters, Quiet, Subject, Watchman, check_watch
from streamclf.errors import ConfigError
from streamclf.types import StreamState

GARDEN = Subject("stream", "garden")
LOST = {GARDEN: "garden is lost: no device"}
NOTHING: Mapping[Subject, str] = {}


def looks(
    matters: Matters, *seen: tuple[float, Mapping[Subject, str]], after_s: float = 10
) -> list[tuple[float, str, bool]]:
    return [
        (at_s, news.matter.what, news.well)
        for at_s, wrong in seen
        for news in matters.look(wrong, now_s=at_s, now_ns=int(at_s * 1e9), after_s=after_s)
    ]


def test_it_is_told_once_and_again_when_it_is_well() -> None:
    seen = [(float(at), LOST if 5 <= at < 30 else NOTHING) for at in range(60)]
    assert looks(Matters(), *seen) == [(15.0, LOST[GARDEN], False), (40.0, LOST[GARDEN], True)]


def test_what_comes_and_goes_is_not_told() -> None:
    seen = [(float(at), LOST if at % 8 < 4 else NOTHING) for at in range(100)]
    assert looks(Matters(), *seen) == []


def test_what_comes_back_before_it_was_well_is_still_the_same() -> None:
    seen = [(float(at), NOTHING if 20 <= at < 25 else LOST) for at in range(60)]
    assert looks(Matters(), *seen) == [(10.0, LOST[GARDEN], False)]


def test_another_run_takes_back_what_the_one_before_told() -> None:
    matters = Matters({GARDEN: (LOST[GARDEN], 1)})
    assert looks(matters, (0.0, LOST), (20.0, LOST), (21.0, NOTHING), (31.0, NOTHING)) == [(31.0, LOST[GARDEN], True)]
    assert looks(Matters({GARDEN: ("gone", 1)}), (0.0, NOTHING), (10.0, NOTHING)) == [(10.0, "gone", True)]


def test_a_stream_is_quiet_as_long_as_nothing_is_loud() -> None:
    ring = Ring(4 * 100)
    one: Any = SimpleNamespace(name="garden", ring=ring, info=SimpleNamespace(rate=100))
    quiet = Quiet()

    def second(at_s: float, level: float, *, heard: bool = True) -> float:
        ring.write(np.full(100, level, dtype=np.float32))
        return quiet.look(one, heard=heard, level_dbfs=-60, now_s=at_s)

    assert [second(at, 0.0001) for at in (0, 1, 2)] == [0, 1, 2]
    assert second(3, 0.1) == 0
    assert [second(at, 0.0001) for at in (4, 9)] == [0, 5]
    assert second(10, 0.0001, heard=False) == 0
    assert second(11, 0.0001) == 0


def test_sinks_that_there_are_not_are_a_mistake() -> None:
    check_watch(WatchConfig(), (), kept=False)
    check_watch(WatchConfig(sinks=("phone",)), ("phone",), kept=True)
    with pytest.raises(ConfigError, match=r"has no \[sink\.phne\]; did you mean phone\?"):
        check_watch(WatchConfig(sinks=("phne",)), ("phone",), kept=True)
    with pytest.raises(ConfigError, match="but no events are kept"):
        check_watch(WatchConfig(sinks=("phone",)), ("phone",), kept=False)


class Told:
    """Alerts that were told, and whether at once."""

    def __init__(self) -> None:
        self.alerts: list[tuple[str, str, bool]] = []

    def tell(self, alert: Alert, *, urgent: bool) -> None:
        self.alerts.append((alert.stage, alert.message, urgent))


def test_silence_and_a_store_that_cannot_be_written_are_told() -> None:
    ring, told, trouble = Ring(400), Told(), ""
    one: Any = SimpleNamespace(name="garden", ring=ring, info=SimpleNamespace(rate=100), stands_in_for="")
    problems: Any = SimpleNamespace(state=lambda info: (StreamState.LIVE, ""), unready=lambda: "", stuck=lambda: "")
    config = WatchConfig(sinks=("phone",), after_s=2, silence_min=1)
    watchman = Watchman(config, problems, [one], told, store_problem=lambda: trouble)
    for second in range(200):
        ring.write(np.full(100, 0.1 if second > 120 else 0.0, dtype=np.float32))
        trouble = "the disk is full" if 150 <= second < 160 else ""
        watchman.look(float(second), second * NS_PER_SECOND)
    assert [(stage, urgent) for stage, _, urgent in told.alerts] == [
        ("problem", False), ("well", False), ("problem", True), ("well", False),
    ]  # fmt: skip
    assert told.alerts[0][1].startswith("garden is silent: for 62 s nothing was louder than -70 dBFS")
    assert told.alerts[2][1].startswith("the disk is full (since ")
    assert "it was: the disk is full" in told.alerts[3][1]
    assert watchman.status().problems == []
