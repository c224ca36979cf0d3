"""The level control in front of a logarithm: as it is defined, causal, and whatever the blocks are."""

import math

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings

from streamclf.features.frontend import Frontend, make_frontend
from streamclf.features.logmel import LogMelSpectrum
from streamclf.model.pack import LevelControl, LogMel
from streamclf.types import F32
from tests.support.laws import tries
from tools.lab.tinypack import LOGMEL, RATE

LEVEL = LevelControl(target_db=10.0, up_db=30.0, down_db=-6.0, rate_db_s=40.0)
POWER = msgspec.structs.replace(LOGMEL, spectrum="power", log_offset=1e-6)


def levelled(features: LogMel, level: LevelControl = LEVEL) -> Frontend:
    return make_frontend(msgspec.structs.replace(features, level=level), RATE, history=4 * RATE)


def heard(frontend: Frontend, blocks: list[F32]) -> F32:
    for block in blocks:
        frontend.push(block)
    rows = np.zeros((frontend.available - frontend.first_valid, *frontend.dims), np.float32)
    shift, first = frontend.frame_shift, frontend.first_valid
    frontend.window(first * shift, (len(rows) - 1) * shift + frontend.frame_length, rows)
    return rows


def signal(samples: int = RATE) -> F32:
    """Quiet, loud, silent, and quiet again."""
    gains = np.repeat([0.002, 0.5, 0.0, 0.01], samples // 4)
    noise = np.random.default_rng(3).standard_normal(len(gains)) * gains
    return np.asarray(noise, dtype=np.float32)


@pytest.mark.parametrize("features", [LOGMEL, POWER], ids=["magnitude", "power"])
def test_rows_are_those_of_the_definition(features: LogMel) -> None:
    audio, shift, length = signal(), features.frame_shift, features.frame_length
    spectrum = LogMelSpectrum(features, RATE)
    unit = 10.0 if features.spectrum == "power" else 20.0
    expected, level_db = [], -240.0
    for start in range(0, len(audio) - length + 1, shift):
        mel = spectrum.mel(audio[None, start : start + length])[0]
        peak_db = unit * math.log10(mel.max() + 1e-12)
        level_db = max(peak_db, level_db - LEVEL.rate_db_s * shift / RATE)
        gain_db = min(LEVEL.up_db, max(LEVEL.down_db, LEVEL.target_db - level_db))
        expected.append(np.log(10 ** (gain_db / unit) * mel + features.log_offset))
    rows = heard(levelled(features), [audio])
    assert np.abs(rows - np.array(expected)).max() < 1e-5
    plain = heard(make_frontend(features, RATE, history=4 * RATE), [audio])
    lifted = (rows - plain).max(axis=1)
    assert lifted[:10].min() > 0.5, "what is quiet was not lifted"
    assert (rows - plain)[30:40].min() < -0.2, "what is loud was not lowered"


@settings(max_examples=tries(30), deadline=None)
@given(cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=20))
def test_any_blocks_give_the_same_rows(cuts: list[int]) -> None:
    audio = signal()
    at = np.cumsum(np.resize(cuts, 1 + len(audio) // min(cuts)))
    parts = np.split(audio, at[at < len(audio)])
    assert np.abs(heard(levelled(LOGMEL), parts) - heard(levelled(LOGMEL), [audio])).max() < 1e-5


def test_it_begins_anew_after_a_restart() -> None:
    frontend = levelled(LOGMEL)
    frontend.push(np.full(RATE, 0.9, np.float32))
    frontend.restart(2 * RATE)
    assert np.array_equal(heard(frontend, [signal()]), heard(levelled(LOGMEL), [signal()]))
