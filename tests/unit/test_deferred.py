"""Features that are computed when asked: the same rows as at once, and a new beginning after a sleep."""

import numpy as np

from streamclf.features.deferred import DeferredFrontend
from streamclf.features.frontend import Encode, Frontend, make_frontend
from streamclf.features.spec import Encoded
from streamclf.types import F32, F64

FEATURES = Encoded(frame_length=400, frame_shift=320, bands=2, input="frames", output="rows")
HISTORY = 32_000


class Means:
    bands = 2

    def __call__(self, frames: F32, statistics: F64 | None = None) -> F32:
        return np.stack([frames.mean(axis=1), np.abs(frames).max(axis=1)], axis=1)


def at_once(encode: Encode) -> Frontend:
    return make_frontend(FEATURES, 16_000, history=HISTORY, encode=encode)


def rows(frontend: Frontend, first: int, frames: int) -> F32:
    out = np.zeros((frames, 2), dtype=np.float32)
    frontend.window(first, (frames - 1) * 320 + 400, out)
    return out


def test_rows_are_those_of_a_frontend_that_computes_at_once() -> None:
    samples = np.random.default_rng(1).standard_normal(8_000).astype(np.float32)
    deferred, plain = DeferredFrontend(FEATURES, at_once), at_once(Means())
    for at in range(0, 8_000, 500):
        deferred.push(samples[at : at + 500])
        plain.push(samples[at : at + 500])
        if at % 1_500 == 0:
            assert deferred.samples < plain.samples
            deferred.work(Means())
            assert deferred.samples == plain.samples
    np.testing.assert_array_equal(rows(deferred, 0, 20), rows(plain, 0, 20))
    deferred.restart(9_000)
    plain.restart(9_000)
    assert deferred.samples == 9_000
    deferred.push(samples)
    deferred.work(Means())
    plain.push(samples)
    np.testing.assert_array_equal(rows(deferred, 9_280, 20), rows(plain, 9_280, 20))


def test_asleep_it_counts_and_awake_it_hears_only_what_comes_then() -> None:
    samples = np.random.default_rng(2).standard_normal(16_000).astype(np.float32)
    frontend = DeferredFrontend(FEATURES, at_once)
    frontend.push(samples[:4_000])
    frontend.work(Means())
    frontend.sleep()
    frontend.push(samples[4_000:6_500])
    assert frontend.samples == 6_500
    frontend.wake()
    assert frontend.samples == 6_500
    frontend.push(samples[6_500:])
    frontend.work(Means())
    fresh = at_once(Means())
    fresh.restart(6_500)
    fresh.push(samples[6_500:])
    assert frontend.samples == 16_000
    np.testing.assert_array_equal(rows(frontend, 6_720, 20), rows(fresh, 6_720, 20))
