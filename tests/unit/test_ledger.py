"""What is made of the engine's words before it is kept: times, thresholds, levels, why an event ended."""

from dataclasses import replace

import numpy as np
import pytest

from streamclf.clock import NS_PER_FRAME
from streamclf.engine.segment import Ending
from streamclf.store.ledger import Ledger
from streamclf.store.loudness import KEPT_FRAMES, Loudness, codes_of_rms, decibels_of_codes
from streamclf.types import Levels, Stage
from tests.support.storing import FACTS, heard

EPOCH = 1_000 * NS_PER_FRAME


def levels(first: int, decibels: list[float]) -> Levels:
    rms = (10 ** (np.array(decibels) / 20)).astype(np.float32)
    return Levels("mic", first, rms, rms)


def test_an_event_gets_its_times_thresholds_and_a_name_for_ever() -> None:
    ledger = Ledger("run1", FACTS)
    (opened,) = ledger.take([heard(Stage.OPEN)], {"mic": EPOCH})
    (closed,) = ledger.take([heard(Stage.CLOSE, offset=120, decided=130)], {"mic": EPOCH})

    assert (opened.id, opened.group, opened.pack_hash) == ("run1/mic/birds/robin/100", "bird", "ab")
    assert (opened.enter, opened.min_on_ms, opened.min_off_ms) == (0.6, 100, 200)
    assert (opened.onset_ns, opened.offset_ns, opened.decided_ns) == (1100 * NS_PER_FRAME, None, 1105 * NS_PER_FRAME)
    assert (closed.offset_ns, closed.ended_by) == (1120 * NS_PER_FRAME, "quiet")
    assert ledger.lasting == {}


def test_an_onset_stays_where_it_was_though_the_clock_is_corrected() -> None:
    ledger = Ledger("run1", FACTS)
    (opened,) = ledger.take([heard(Stage.OPEN)], {"mic": EPOCH})
    (closed,) = ledger.take([heard(Stage.CLOSE, offset=120, decided=130)], {"mic": EPOCH + 999})

    assert closed.onset_ns == opened.onset_ns
    assert closed.offset_ns == opened.onset_ns + 20 * NS_PER_FRAME


def test_why_an_event_ended_is_kept_as_the_engine_told_it() -> None:
    ledger = Ledger("run1", FACTS)
    cut = replace(heard(Stage.CLOSE, offset=120, decided=121), ended_by=Ending.PAUSED)
    (paused,) = ledger.take([cut], {"mic": EPOCH})
    ledger.take([heard(Stage.OPEN)], {"mic": EPOCH})
    (by_stop,) = ledger.stop()

    assert [e.ended_by for e in (paused, by_stop)] == ["paused", "stop"]
    assert (by_stop.stage, by_stop.offset_frame, ledger.lasting) == ("close", 105, {})


def test_self_test_streams_are_marked() -> None:
    (marked,) = Ledger("run1", FACTS, test={"mic"}).take([heard(Stage.OPEN)], {"mic": EPOCH})
    assert marked.test


def test_the_level_is_that_of_the_events_own_frames() -> None:
    ledger = Ledger("run1", FACTS)
    loud_event = [-60.0] * 100 + [-20.0] * 20 + [-60.0] * 20
    (closed,) = ledger.take([levels(0, loud_event), heard(Stage.CLOSE, offset=120)], {"mic": EPOCH})
    (unheard,) = Ledger("run1", FACTS).take([heard(Stage.OPEN)], {"mic": EPOCH})

    assert (closed.level_db, unheard.level_db) == (-20.0, None)


def test_levels_average_power_and_forget_what_is_old_or_before_a_jump() -> None:
    loudness = Loudness()
    loudness.push(0, codes_of_rms(np.array([1.0, 0.1], dtype=np.float32)))
    assert loudness.level_db(0, 2) == pytest.approx(-2.97, abs=0.05)
    loudness.push(KEPT_FRAMES, codes_of_rms(np.full(2, 0.1, dtype=np.float32)))
    assert loudness.level_db(0, 2) is None
    assert loudness.level_db(0, KEPT_FRAMES + 9) == -20.0
    loudness.push(KEPT_FRAMES + 2, codes_of_rms(np.full(KEPT_FRAMES + 5, 0.01, dtype=np.float32)))
    assert loudness.level_db(0, 3 * KEPT_FRAMES) == -40.0


def test_levels_are_kept_to_half_a_decibel_from_silence_to_full_scale() -> None:
    wanted = np.array([-200.0, -127.5, -60.25, -3.1, 0.0, 6.0])
    found = decibels_of_codes(codes_of_rms((10 ** (wanted / 20)).astype(np.float32)))
    np.testing.assert_allclose(found, np.clip(wanted, -127.5, 0), atol=0.26)
