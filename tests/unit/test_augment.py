"""Augmentation changes a sound within stated bounds, moves nothing in time, and is a function of its generator."""

import numpy as np
import pytest

from streamclf.errors import UsageError
from streamclf.train.data import augment
from streamclf.train.data.augment import KINDS, parse_kinds
from streamclf.types import F32

RATE = 16_000
ONSET = 6000


def sound(seed: int = 0, length: int = RATE) -> F32:
    """Silence, then noise from `ONSET` on."""
    samples = (0.1 * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)
    samples[:ONSET] = 0.0
    return samples


def level(samples: F32) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def test_kinds_are_named_one_by_one_or_all_or_none() -> None:
    assert parse_kinds("all") == KINDS
    assert parse_kinds("none") == ()
    assert parse_kinds("noise, gain,noise") == ("noise", "gain")


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(UsageError, match="names 'echo'; expected all, none or some of gain, noise"):
        parse_kinds("gain,echo")


def test_no_kind_leaves_the_samples_as_they_are() -> None:
    assert np.array_equal(augment.augment(sound(), RATE, (), np.random.default_rng(0)), sound())


def test_the_same_generator_gives_the_same_samples() -> None:
    first, again, other = (augment.augment(sound(), RATE, KINDS, np.random.default_rng(seed)) for seed in (5, 5, 6))

    assert first.dtype == np.float32
    assert len(first) == len(sound())
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_source_is_not_altered() -> None:
    samples = sound()
    for seed in range(20):
        augment.augment(samples, RATE, KINDS, np.random.default_rng(seed))
    assert np.array_equal(samples, sound())


def test_gain_stays_within_its_bounds_and_uses_them() -> None:
    gains_db = [
        20 * np.log10(level(augment.augment(sound(), RATE, ("gain",), np.random.default_rng(seed))) / level(sound()))
        for seed in range(60)
    ]

    low, high = augment.GAIN_DB
    assert min(gains_db) >= low - 1e-3
    assert max(gains_db) <= high + 1e-3
    assert max(gains_db) - min(gains_db) > 0.8 * (high - low)


@pytest.mark.parametrize("kind", ["filter", "room"])
def test_nothing_sounds_before_its_onset_and_the_onset_stays(kind: str) -> None:
    changed = 0
    for seed in range(12):
        out = augment.augment(sound(), RATE, (kind,), np.random.default_rng(seed))
        if np.array_equal(out, sound()):
            continue
        changed += 1
        assert level(out[:ONSET]) < 1e-3 * level(out[ONSET:])
        assert level(out[ONSET : ONSET + 160]) > 0.1 * level(out[ONSET:])
    assert 0 < changed < 12


def test_the_equaliser_stays_within_its_bounds_and_uses_them() -> None:
    strongest = []
    for seed in range(10):
        response = augment.filter_response(RATE, RATE, np.random.default_rng(seed))
        strongest.append(float(np.abs(20 * np.log10(np.abs(response))).max()))
    assert max(strongest) < augment.FILTER_DB + 0.5
    assert max(strongest) > 0.8 * augment.FILTER_DB


def test_a_room_begins_with_the_direct_sound_and_dies_away() -> None:
    for seed in range(10):
        response = np.fft.irfft(augment.room_response(RATE, RATE, np.random.default_rng(seed)))
        assert np.argmax(np.abs(response)) == 0
        assert np.sum(response**2) == pytest.approx(1.0, abs=1e-4)
        assert np.abs(response[RATE:]).max() < 1e-5
        tail = response[RATE // 50 :]
        assert level(tail[:800].astype(np.float32)) > level(tail[4000:4800].astype(np.float32))


@pytest.mark.parametrize("quiet", [False, True])
def test_noise_lies_as_far_below_the_sound_as_stated(quiet: bool) -> None:
    """Digital silence counts as a converter's own noise."""
    reference = 1e-4 if quiet else 0.1
    ratios = []
    for seed in range(30):
        made = augment.noise(RATE, 0.0 if quiet else 0.1, np.random.default_rng(seed))
        ratios.append(20 * np.log10(reference / level(made)))

    low, high = augment.NOISE_SNR_DB
    assert min(ratios) >= low - 0.1
    assert max(ratios) <= high + 0.1


def test_noise_has_three_colours() -> None:
    slopes = set()
    for seed in range(20):
        power = np.abs(np.fft.rfft(augment.noise(1 << 15, 0.1, np.random.default_rng(seed)))) ** 2
        octaves = [np.mean(power[1 << at : 2 << at]) for at in (8, 12)]
        slopes.add(round(float(np.log2(octaves[0] / octaves[1])) / 4))
    assert slopes == {0, 1, 2}


def batch(classes: int = 3) -> tuple[F32, F32, F32]:
    rng = np.random.default_rng(0)
    targets = np.eye(classes, dtype=np.float32)[rng.integers(classes, size=16)]
    return rng.standard_normal((16, 100)).astype(np.float32), targets, np.ones(16, dtype=np.float32)


def test_mix_up_mixes_targets_as_it_mixes_sounds() -> None:
    audio, targets, weights = batch()

    mixed, told, _ = augment.mix(audio, targets, weights, exclusive=True, rng=np.random.default_rng(1))

    assert told.sum(axis=1) == pytest.approx(np.ones(16), abs=1e-6)
    blended = [at for at in range(16) if not np.array_equal(mixed[at], audio[at])]
    assert 0 < len(blended) < 16
    for at in blended:
        # the one partner and share that explain the sound explain the target too
        share = float(told[at] @ targets[at])
        if share < 0.999:
            rest = (mixed[at] - share * audio[at]) / (1 - share)
            partner = int(np.argmin(np.abs(audio - rest).max(axis=1)))
            assert np.abs(audio[partner] - rest).max() < 1e-3
            assert share >= 0.5


def test_mix_up_of_labels_that_may_hold_at_once_unites_them() -> None:
    audio, targets, weights = batch()

    mixed, told, _ = augment.mix(audio, targets, weights, exclusive=False, rng=np.random.default_rng(1))

    assert set(np.unique(told)) == {0.0, 1.0}
    assert (told >= targets).all()
    assert (told.sum(axis=1) == 2).any()
    untouched = [at for at in range(16) if np.array_equal(mixed[at], audio[at])]
    assert np.array_equal(told[untouched], targets[untouched])


def test_where_nothing_is_known_of_one_part_nothing_is_known_of_the_mixture() -> None:
    audio, targets, _ = batch()
    rows = np.repeat(targets[:, None], 4, axis=1)
    weights = np.ones((16, 4), dtype=np.float32)
    weights[:8, 2:] = 0.0

    mixed, _, known = augment.mix(audio, rows, weights, exclusive=True, rng=np.random.default_rng(1))

    assert (known <= weights).all()
    untouched = [at for at in range(16) if np.array_equal(mixed[at], audio[at])]
    assert np.array_equal(known[untouched], weights[untouched])
    assert known.sum() < weights.sum()


def test_masks_are_stripes_of_the_mean_and_not_too_wide() -> None:
    spectra = np.ones((40, 100, 64), dtype=np.float32)

    augment.mask(spectra, np.random.default_rng(0))

    shares = []
    for one in spectra:
        times, bands = (one == 0).all(axis=1), (one == 0).all(axis=0)
        # besides whole stripes nothing is blank
        assert np.array_equal(one == 0, times[:, None] | bands[None, :])
        shares.append((times.mean(), bands.mean()))
    worst = np.max(shares, axis=0)
    assert worst[0] <= augment.MASKS * augment.MASK_TIME
    assert worst[1] <= augment.MASKS * augment.MASK_BANDS
    assert (worst > 0.1).all()
    assert any(share == (0.0, 0.0) for share in shares)
