"""How loud it is: weighting, third octaves, levels by the minute, and the label `loud` through the engine."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamclf.audio.ring import Ring
from streamclf.config import Config, DecisionConfig, LoudnessConfig
from streamclf.engine.batch import PackRunner
from streamclf.engine.build import check_labels, known_packs
from streamclf.engine.engine import Engine
from streamclf.engine.loud import MINUTE, LoudnessMeter, LoudTrack, loudness_of
from streamclf.engine.stream import Stream
from streamclf.errors import ConfigError
from streamclf.features.octaves import ThirdOctaves, centre_hz, nominal
from streamclf.features.weighting import Weighted, Weighting
from streamclf.model.fusedsession import open_session
from streamclf.model.loader import load_pack
from streamclf.model.pack import Pack
from streamclf.types import F32, F64, Event, FrameScores, GapReason, Label, LoudnessMinute, Output, Stage
from tools.lab.tinypack import stateful_pack

# nominal frequency (Hz), A, C: IEC 61672-1:2013, table 3
TABLE = (
    (31.5, -39.4, -3.0), (40, -34.6, -2.0), (50, -30.2, -1.3), (63, -26.2, -0.8), (80, -22.5, -0.5),
    (100, -19.1, -0.3), (125, -16.1, -0.2), (160, -13.4, -0.1), (200, -10.9, 0.0), (250, -8.6, 0.0),
    (315, -6.6, 0.0), (400, -4.8, 0.0), (500, -3.2, 0.0), (630, -1.9, 0.0), (800, -0.8, 0.0), (1000, 0.0, 0.0),
    (1250, 0.6, 0.0), (1600, 1.0, -0.1), (2000, 1.2, -0.2), (2500, 1.3, -0.3), (3150, 1.2, -0.5), (4000, 1.0, -0.8),
    (5000, 0.5, -1.3), (6300, -0.1, -2.0), (8000, -1.1, -3.0),
)  # fmt: skip
RATES = (8000, 11_050, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000)
WEIGHTINGS: tuple[Weighting, ...] = ("A", "C")
RATE = 16_000
HOP = RATE // 50


def tone(hz: float, seconds: float, *, rate: int = RATE, rms: float = 0.1) -> F32:
    at = np.arange(round(seconds * rate)) / rate
    sound: F32 = (rms * np.sqrt(2) * np.sin(2 * np.pi * hz * at)).astype(np.float32)
    return sound


def framed(sound: F32, rate: int = RATE) -> F32:
    return sound.reshape(-1, rate // 50)


def level(samples: F32) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("rate", RATES)
def test_the_weighting_is_the_standards_at_every_rate(rate: int) -> None:
    for number, (hz, a_db, c_db) in zip(range(-15, 10), TABLE, strict=True):
        exact = centre_hz(number)
        assert nominal(number) == f"{hz:g}"
        if exact >= rate / 2:
            continue
        sound = framed(tone(exact, 1.0, rate=rate), rate)
        (loud_a,), (loud_c,) = (Weighted(name, rate).push(sound[np.newaxis]) for name in WEIGHTINGS)
        heard = slice(25, None)  # behind the swing of the filters
        assert level(loud_a[heard]) - level(sound[heard]) == pytest.approx(a_db, abs=0.1), f"A at {hz} Hz"
        assert level(loud_c[heard]) - level(sound[heard]) == pytest.approx(c_db, abs=0.1), f"C at {hz} Hz"


@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
def test_a_tone_is_in_its_third_octave(rate: int) -> None:
    octaves = ThirdOctaves(rate)
    for number in octaves.bands:
        octaves.restart()
        windows = octaves.push(framed(tone(centre_hz(number), 2, rate=rate), rate))
        powers = 10 * np.log10(windows.mean(axis=0) + 1e-16)
        at = number - octaves.bands.start
        assert powers[at] == pytest.approx(-20.0, abs=0.1)
        assert np.delete(powers, at).max() < -40


def test_the_bands_of_noise_add_up_to_it() -> None:
    sound = (0.1 * np.random.default_rng(1).normal(size=20 * RATE)).astype(np.float32)
    octaves = ThirdOctaves(RATE)
    powers = octaves.push(framed(sound)).mean(axis=0)
    widths = np.array([centre_hz(n) * (10**0.05 - 10**-0.05) for n in octaves.bands])
    wanted = 10 * np.log10(0.01 * widths / (RATE / 2))
    np.testing.assert_allclose(10 * np.log10(powers)[8:], wanted[8:], atol=0.3)  # those below hold few bins


@pytest.mark.parametrize(("burst_s", "under_db"), [(1.0, 0.0), (0.2, -1.0), (0.1, -2.6), (0.04, -5.6)])
def test_the_time_weighting_is_f(burst_s: float, under_db: float) -> None:
    """The answer to bursts of 4 kHz: 10 lg(1 - e^(-t / 125 ms)), which IEC 61672-1 has in table 4."""
    meter = LoudnessMeter("mic", 48_000)
    quiet = np.zeros(48_000, dtype=np.float32)
    burst = tone(4000, burst_s, rate=48_000)
    (steady,) = (meter.push(0, framed(tone(4000, 2, rate=48_000), 48_000))[0][-1],)
    meter.restart(0)
    fasts, _ = meter.push(0, framed(np.concatenate([quiet, burst, quiet]), 48_000))
    assert 10 * np.log10(fasts.max() / steady) == pytest.approx(under_db, abs=0.2)


def minutes_of(sound: F32, sizes: int) -> tuple[F64, list[LoudnessMinute]]:
    meter = LoudnessMeter("mic", RATE)
    rows, minutes = [], []
    for first in range(0, len(sound) // HOP, sizes):
        fasts, ended = meter.push(first, framed(sound[first * HOP : (first + sizes) * HOP]))
        rows.append(fasts)
        minutes += ended
    return np.concatenate(rows), minutes + meter.flush()


def test_a_minute_has_its_levels_whatever_the_blocks() -> None:
    # 1 kHz: 70 s at -20 dB, every tenth second at -6
    sound = tone(1000, 70)
    for at in range(0, 70, 10):
        sound[at * RATE : (at + 1) * RATE] *= 10 ** (14 / 20)
    rows, (first, second) = minutes_of(sound, 50)
    assert (first.first_frame, first.frames) == (0, MINUTE)
    assert (second.first_frame, second.frames) == (MINUTE, 500)
    mean = 10 * np.log10(0.9 * 10**-2.0 + 0.1 * 10**-0.6)
    assert first.laeq == pytest.approx(mean, abs=0.05)
    assert first.lzeq == pytest.approx(mean, abs=0.01)
    assert first.lceq == pytest.approx(mean, abs=0.05)
    assert first.lafmax == pytest.approx(-6, abs=0.1)
    assert first.lcpeak == pytest.approx(-3, abs=0.4)
    assert [first.l50, first.l90] == pytest.approx([-20, -20], abs=0.1)
    assert -20 < first.l10 <= -6
    assert first.bands[16] == pytest.approx(mean, abs=0.2)  # 1 kHz; the first half second is faded in
    for size in (3, 1000):
        others, minutes = minutes_of(sound, size)
        np.testing.assert_allclose(others, rows, rtol=1e-5)
        for one, other in zip(minutes, (first, second), strict=True):
            for name in ("laeq", "lceq", "lzeq", "lafmax", "lcpeak", "l10", "l50", "l90", "bands"):
                np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-3, err_msg=name)


def test_what_is_asked_of_the_last_seconds_was_heard_in_them() -> None:
    meter = LoudnessMeter("mic", RATE)
    meter.push(0, framed(tone(1000, 3)))
    assert meter.recent(5) is None
    mean, low, high = meter.recent(2) or (0, 0, 0)
    assert mean == pytest.approx(-20, abs=0.02)
    assert high - low < 0.1
    meter.restart(500)
    meter.push(500, framed(tone(1000, 1, rms=0.2)))
    assert meter.recent(2) is None
    mean, low, _ = meter.recent(0.2) or (0, 0, 0)
    assert mean == pytest.approx(-13.98, abs=0.02)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    pack = load_pack(stateful_pack(tmp_path_factory.mktemp("packs") / "tiny"))
    return msgspec.structs.replace(pack, labels=tuple(Label(f"c{n}", f"C{n}") for n in range(3)))


def heard(engine: Engine, ring: Ring, sound: F32, size: int) -> list[Output]:
    outputs: list[Output] = []
    for at in range(0, len(sound), size):
        ring.write(sound[at : at + size])
        outputs += engine.drain()
    return outputs


@pytest.mark.parametrize(("offsets", "size"), [({}, 1111), ({"mic": 100.0}, 320)])
def test_loud_is_a_label_of_every_stream(model: Pack, offsets: dict[str, float], size: int) -> None:
    config = LoudnessConfig(enter_dbfs=-20, enter_dba=80, leave_below_db=6, offsets=offsets)
    engine = Engine([PackRunner(model, open_session(model))], derived=loudness_of(config, [model]))
    ring = Ring(20 * RATE)
    engine.add(Stream("mic", rate=RATE, ring=ring))
    sound = np.concatenate([tone(1000, 2, rms=0.01), tone(1000, 1, rms=0.2), tone(1000, 2.01, rms=0.01)])
    outputs = heard(engine, ring, sound, size) + engine.finish("mic")
    rows = np.concatenate([o.rows for o in outputs if isinstance(o, FrameScores) and o.pack == "loudness"])
    assert rows.shape == (251, 1)  # the last frame is half of one, and keeps the level before it
    assert rows[250, 0] == rows[249, 0]
    assert rows[90, 0] == pytest.approx(0.5 - 0.20, abs=0.002)  # -40 dB, 20 under the threshold
    assert rows[149, 0] == pytest.approx(0.5 + 0.06, abs=0.002)  # -14 dB
    events = [o for o in outputs if isinstance(o, Event) and o.label == "loud" and o.stage is not Stage.UPDATE]
    assert [event.stage for event in events] == [Stage.OPEN, Stage.CLOSE]
    assert 100 <= events[0].onset_frame <= 103
    (minute,) = (o for o in outputs if isinstance(o, LoudnessMinute))
    assert (minute.frames, minute.offset_db) == (250, offsets.get("mic"))


def test_companions_change_nothing(model: Pack) -> None:
    rng = np.random.default_rng(5)
    sounds = [(0.1 * rng.normal(size=100 * HOP) * (n + 1)).astype(np.float32) for n in range(3)]

    def rows_of(chosen: list[int], sizes: dict[int, int]) -> dict[str, F32]:
        engine = Engine([PackRunner(model, open_session(model))], derived=loudness_of(LoudnessConfig(), [model]))
        rings = {n: Ring(20 * RATE) for n in chosen}
        for n, ring in rings.items():
            engine.add(Stream(f"mic{n}", rate=RATE, ring=ring))
        outputs: list[Output] = []
        for at in range(0, 100 * HOP, 5 * HOP):
            for n, ring in rings.items():
                for begin in range(at, at + 5 * HOP, sizes[n]):
                    ring.write(sounds[n][begin : min(begin + sizes[n], at + 5 * HOP)])
                    if n == chosen[-1]:
                        outputs += engine.tick()
        outputs += engine.drain()
        found = [o for o in outputs if isinstance(o, FrameScores) and o.pack == "loudness"]
        return {f"mic{n}": np.concatenate([o.rows for o in found if o.stream == f"mic{n}"]) for n in chosen}

    together = rows_of([0, 1, 2], {0: HOP, 1: 700, 2: 333})
    for n in range(3):
        alone = rows_of([n], {n: HOP})
        np.testing.assert_allclose(together[f"mic{n}"], alone[f"mic{n}"], atol=1e-5)


def test_thresholds_and_offsets_hold_from_the_next_frame_on(model: Pack) -> None:
    (loud,) = loudness_of(LoudnessConfig(), [model])
    engine = Engine([PackRunner(model, open_session(model))], derived=[loud])
    ring = Ring(20 * RATE)
    engine.add(Stream("mic", rate=RATE, ring=ring))
    heard(engine, ring, tone(1000, 2), 320)
    loud.use(LoudnessConfig(offsets={"mic": 110.0}, enter_dba=90.0))
    outputs = heard(engine, ring, tone(1000, 0.1), 320)  # measured five frames at a time
    (scores,) = (o for o in outputs if isinstance(o, FrameScores) and o.pack == "loudness")
    assert scores.rows[0, 0] == pytest.approx(0.5, abs=0.002)


def test_a_gap_begins_it_anew(model: Pack) -> None:
    engine = Engine([PackRunner(model, open_session(model))], derived=loudness_of(LoudnessConfig(), [model]))
    ring = Ring(20 * RATE)
    engine.add(Stream("mic", rate=RATE, ring=ring))
    heard(engine, ring, tone(1000, 2), 320)
    ring.skip(100, GapReason.LOST)
    outputs = heard(engine, ring, tone(1000, 1), 320)
    rows = [o for o in outputs if isinstance(o, FrameScores) and o.pack == "loudness"]
    assert rows[0].first_frame == 101
    assert rows[0].rows[0, 0] < 0.4 - 0.05  # the time weighting rises again
    track = engine.tracks["mic"][-1]
    assert isinstance(track, LoudTrack)
    assert track.meter.recent(2) is None


def test_frames_that_wait_for_others_are_told_before_a_pause(model: Pack) -> None:
    engine = Engine([PackRunner(model, open_session(model))], derived=loudness_of(LoudnessConfig(), [model]))
    ring = Ring(20 * RATE)
    engine.add(Stream("mic", rate=RATE, ring=ring))
    outputs = heard(engine, ring, tone(1000, 0.26), 320)
    before = [o for o in outputs if isinstance(o, FrameScores) and o.pack == "loudness"]
    after = [o for o in engine.pause("mic") if isinstance(o, FrameScores) and o.pack == "loudness"]
    assert [len(o.rows) for o in before] == [5, 5]
    assert [(o.first_frame, len(o.rows)) for o in after] == [(10, 3)]


def test_a_pack_that_has_the_label_comes_first(tmp_path: Path) -> None:
    packs = [load_pack(stateful_pack(tmp_path / "tiny"))]
    assert "loud" in {label.id for label in packs[0].labels}
    assert loudness_of(LoudnessConfig(), packs) == []
    assert loudness_of(LoudnessConfig(enabled=False), []) == []


def test_the_configuration_may_name_it() -> None:
    config = Config(model=("default",), segmentation={"loud": DecisionConfig(min_off_ms=1000)})
    packs = known_packs(config)
    assert [pack.manifest.name for pack in packs] == ["default", "loudness"]
    check_labels(config, packs)
    with pytest.raises(ConfigError, match=r"segmentation\.loud: no label"):
        check_labels(config, packs[:1])
