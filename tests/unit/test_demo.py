"""The shipped recording is the one its ATTRIBUTION.md speaks of."""

import hashlib
import re

import numpy as np
import soundfile

from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.clock import hop_of


def test_the_file_and_its_samples_have_the_stated_hashes() -> None:
    text = (DEMO_FILE.parent / "ATTRIBUTION.md").read_text("utf-8")
    told = dict(re.findall(r"\| (.+) \| `([0-9a-f]{64})` \|", text))
    assert told["`birds_10s.flac` here"] == hashlib.sha256(DEMO_FILE.read_bytes()).hexdigest()
    samples, rate = soundfile.read(DEMO_FILE, dtype="int16")
    raw = np.ascontiguousarray(samples, dtype="<i2").tobytes()
    assert told["the samples of either (int16, little-endian)"] == hashlib.sha256(raw).hexdigest()
    assert (rate, len(samples)) == (32_000, 324_263)
    assert hop_of(rate) == 640


def test_the_licence_text_is_beside_it() -> None:
    text = (DEMO_FILE.parent / "ATTRIBUTION.md").read_text("utf-8")
    assert "Copyright (c) 2020 University of Pittsburgh" in text
    assert 'THE SOFTWARE IS PROVIDED "AS IS"' in text
