"""What a net is trained on is what packs hear of the same recording live, with a constant offset under it or not."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.audio.ring import Ring
from streamclf.audio.sources.file import open_blocks
from streamclf.clock import hop_of
from streamclf.engine.stream import Stream
from streamclf.features.spec import Waveform
from streamclf.train.data.annotations import Recording
from streamclf.train.data.asheard import read_sound
from streamclf.train.data.corpus import decode
from streamclf.types import F32

RATE = 16_000


def live(path: Path, *, window: int) -> F32:
    """The last `window` samples at RATE that the engine gave to a pack of waveforms."""
    native, _, blocks = open_blocks(path)
    sound = np.concatenate([block.copy() for block in blocks])
    ring = Ring(4 * len(sound))
    stream = Stream("s", rate=native, ring=ring)
    frontend = stream.listen(Waveform(), RATE, window=window)
    for first in range(0, len(sound), 1_777):
        ring.write(sound[first : first + 1_777])
        while stream.readable:
            stream.pull()
    stream.end({RATE: 0})
    out = np.empty(window, dtype=np.float32)
    frontend.window(0, window, out)
    return out


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("offset", [0.0, 0.05])
def test_training_hears_what_the_engine_hears(tmp_path: Path, rate: int, offset: float) -> None:
    path = tmp_path / "a.wav"
    time = np.arange(2 * rate) / rate
    noise = np.random.default_rng(0).standard_normal(len(time)) * 0.01
    soundfile.write(path, 0.1 * np.sin(2 * np.pi * 440 * time) + noise + offset, rate, subtype="FLOAT")
    recording = Recording(path, "a", ("a",))

    corpus, _, _ = decode([recording], RATE, tmp_path / "audio")
    heard = corpus.audio(recording)
    engine = live(path, window=len(heard) // hop_of(RATE) * hop_of(RATE))

    assert len(heard) == 2 * RATE
    assert np.array_equal(heard[: len(engine)], engine)
    assert np.array_equal(heard, read_sound(path, RATE))
    assert abs(float(heard[RATE:].mean())) < 1e-3
