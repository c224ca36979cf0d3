"""What is told of a microphone, and that nothing is told of one that is fit."""

from collections.abc import Iterator

import numpy as np
import pytest

from streamclf.audio.fitness import Finding, Fitness
from streamclf.types import F32

RATE = 16_000
RNG = np.random.default_rng(5)


def room(seconds: int = 1, level: float = 0.003) -> F32:
    """A quiet room as a 16-bit card gives it."""
    sound = RNG.standard_normal(seconds * RATE) * level
    return (np.round(sound * 32768) / 32768).astype(np.float32)


def tone(hz: float, level: float) -> F32:
    return (level * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)).astype(np.float32)


def hear(fitness: Fitness, *seconds: F32) -> list[Finding]:
    for second in seconds:
        fitness.hear(second)
        fitness.judge(second)
    return list(fitness.findings())


HUM = tone(50, 0.05) + tone(100, 0.03) + tone(150, 0.02)
US_HUM = tone(60, 0.02) + tone(180, 0.03)


@pytest.mark.parametrize(
    ("kind", "bad", "value"),
    [
        ("offset", room() + np.float32(0.125), 12.5),
        ("clipping", np.clip(room() + tone(440, 1.5), -1, 1), None),
        ("bits", np.round((room() + tone(440, 0.3)) * 128) / 128, 8),
        ("bits", np.round(room(level=2e-5) * 32768) / 32768, None),
        ("quiet", room(level=5e-5), -86),
        ("hum", room() + HUM, None),
        ("hum", room() + US_HUM, None),
    ],
)
def test_each_fault_is_told_after_ten_seconds_and_ends_after_ten_good_ones(
    kind: str, bad: F32, value: float | None
) -> None:
    fitness = Fitness(RATE)
    bad = bad.astype(np.float32)

    assert hear(fitness, *[room()] * 10) == []
    assert hear(fitness, *[bad] * 6) == [], "a fault of a few seconds is none"
    (found,) = hear(fitness, *[bad] * 3)
    assert found.kind == kind
    assert found.to_do
    assert value is None or found.value == pytest.approx(value, abs=0.2)
    assert [finding.kind for finding in hear(fitness, *[bad, room()] * 8)] == [kind], "it lasts"
    assert hear(fitness, *[room()] * 10) == []


def loud_music() -> Iterator[F32]:
    for hz in (110, 220, 277, 330, 440, 554, 660, 880, 987, 1318):
        yield np.clip(tone(hz, 0.7) + tone(2 * hz, 0.4) + room(), -0.9999, 0.9999).astype(np.float32)


@pytest.mark.parametrize(
    "sound",
    [
        [room()] * 20,
        [room(level=0.0003)] * 20,
        [room() + tone(hz, 0.4) for hz in (120, 131, 98, 147, 165, 110, 123, 139, 104, 117)],
        list(loud_music()),
        [room() + np.cumsum(room()) * np.float32(0.05) for _ in range(12)],
    ],
    ids=["a quiet room", "a very quiet room", "a low voice", "loud music", "wind"],
)
def test_nothing_is_told_of_a_microphone_that_is_fit(sound: list[F32]) -> None:
    assert hear(Fitness(RATE), *sound) == []


def test_what_is_lifted_may_be_quiet() -> None:
    assert "#gain=+20dB" in hear(Fitness(RATE), *[room(level=5e-5)] * 10)[0].to_do
    assert hear(Fitness(RATE, lifted=True), *[room(level=5e-5)] * 10) == []


@pytest.mark.parametrize(("value", "words"), [(0.0, "digital silence"), (0.25, "0.2500, a stuck value")])
def test_one_value_for_eight_seconds_is_muted_and_any_other_ends_it(value: float, words: str) -> None:
    fitness = Fitness(RATE)
    still = np.full(RATE // 4, value, dtype=np.float32)

    hear(fitness, *[room()] * 3)
    for _ in range(31):
        fitness.hear(still)
    assert fitness.muted == ""
    fitness.hear(still)
    assert words in fitness.muted
    assert list(fitness.findings()) == []
    fitness.hear(np.array([value, value + 0.001], dtype=np.float32))
    assert fitness.muted == ""
    fitness.hear(still)
    assert fitness.muted == "", "a moment later it is not muted again"


def test_a_stuck_value_that_was_resampled_is_still_one_and_a_microphone_with_an_offset_is_none() -> None:
    ripple = RNG.uniform(-1, 1, 10 * RATE).astype(np.float32)
    stuck, offset = Fitness(RATE), Fitness(RATE)
    for at in range(0, 10 * RATE, RATE // 5):
        stuck.hear(np.float32(0.244) + ripple[at : at + RATE // 5] * np.float32(2e-5))
        offset.hear(np.float32(0.244) + ripple[at : at + RATE // 5] * np.float32(2e-3))
    assert "a stuck value" in stuck.muted
    assert offset.muted == ""


def test_muted_for_ever_is_allowed_where_somebody_wants_it() -> None:
    fitness = Fitness(RATE, muted_s=0)
    for _ in range(60):
        fitness.hear(np.zeros(RATE, dtype=np.float32))
    assert fitness.muted == ""
