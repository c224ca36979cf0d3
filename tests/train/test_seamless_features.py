"""The features of Wav2Vec2-BERT are its extractor's, also where next to nothing is left of the sound."""

import numpy as np
import pytest

from streamclf.features.fbank import KaldiFbank
from streamclf.train.families.seamless import features

transformers = pytest.importorskip("transformers", reason="transformers is absent (pip install streamclf[train])")


def test_quiet_bands_beside_a_loud_tone_are_the_extractors() -> None:
    extractor = transformers.SeamlessM4TFeatureExtractor()
    sound = (0.9 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.float32)
    expected = extractor(sound, sampling_rate=16_000, do_normalize_per_mel_bins=False, return_tensors="np")
    frames = np.lib.stride_tricks.sliding_window_view(sound, 400)[::160]

    got = KaldiFbank(features(16_000, 80), 16_000)(frames)

    rows = expected["input_features"].reshape(-1, 80)
    np.testing.assert_allclose(got[: len(rows)], rows[: len(got)], atol=5e-6)
