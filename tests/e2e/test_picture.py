"""Spectrum columns from the real daemon: live on the socket, and again by HTTP."""

import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import soundfile
from websockets.sync.client import connect

from streamclf.features.spectrum import Spectrogram, decibels
from streamclf.protocol.spectrum import Columns, decode
from tests.conftest import StartDaemon
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = pytest.mark.e2e


def test_a_subscriber_sees_the_spectrum_of_what_is_played(tmp_path: Path, daemon: StartDaemon) -> None:
    samples = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(20 * RATE) / RATE)).astype(np.float32)
    soundfile.write(tmp_path / "tone.wav", samples, RATE, subtype="FLOAT")
    pack = stateful_pack(tmp_path / "pack")
    running = daemon("--source", f"file:{tmp_path / 'tone.wav'}", "--model", str(pack))
    shown: list[Columns] = []
    with connect(f"{running.url}?picture=true&tier=events", compression=None) as client:
        while sum(len(part.values) for part in shown) < 60:
            message = client.recv(timeout=20)
            if isinstance(message, bytes):
                shown += decode(message)
        page = f"http://127.0.0.1:{running.port}/v1/picture?stream=tone"
        with urllib.request.urlopen(f"{page}&from={shown[1].first_frame}", timeout=10) as answer:
            again = list(decode(answer.read()))
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(page.replace("tone", "none"), timeout=10)
        refused.value.close()

    first = shown[0].first_frame
    values = np.concatenate([part.values for part in shown])
    expected = Spectrogram(RATE).push(samples.reshape(-1, RATE // 50))[first : first + len(values)]
    # the first column has no frame before it
    assert np.array_equal(values[1:, 2:], expected[1:])
    assert decibels(values[:, 0]) == pytest.approx(-9, abs=0.5)
    assert decibels(values[:, 1]) == pytest.approx(-6, abs=0.5)
    assert np.array_equal(again[0].values, shown[1].values)
    assert refused.value.code == 400
