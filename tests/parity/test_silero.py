"""The Silero pack gives what the silero-vad package's own model object gives, chunk by chunk."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from streamclf.model.loader import load_pack
from streamclf.model.session import Session
from streamclf.types import F32, Provider

RATE, STEP, CONTEXT = 16_000, 512, 64


def speech(shared: Path) -> F32:
    """A minute of spoken digits with pauses, then a crowd and a crying baby."""
    digits = sorted((shared / "data" / "digits").glob("*.flac"))[:80]
    others = [
        shared / "data" / "clips" / "crowd_cheering.flac",
        *sorted((shared / "data" / "esc10" / "baby_cry").glob("*.ogg"))[:2],
    ]
    parts = []
    for path in [*digits, *others]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        parts += [soxr.resample(samples.mean(axis=1), rate, RATE), np.zeros(3000, np.float32)]
    return np.concatenate(parts).astype(np.float32)


def vowels() -> F32:
    """Ten seconds of a buzzing voice with gliding formants, pauses and some noise: needs no recording."""
    random = np.random.default_rng(0)
    time = np.arange(10 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(110 + 30 * np.sin(2 * np.pi * 0.7 * time)) / RATE
    formant = 500 + 250 * np.sin(2 * np.pi * 1.3 * time)
    voice = sum(np.exp(-(((k * 120 - formant) / 300) ** 2)) * np.sin(k * phase) for k in range(1, 25))
    talking = np.sin(2 * np.pi * 0.4 * time) > -0.3
    return (0.2 * voice * talking + random.normal(scale=0.003, size=len(time))).astype(np.float32)


def ours(session: Session, lines: list[F32]) -> list[F32]:
    """Score of every whole chunk of each line; all lines in one batch, those that have ended leaving it."""
    padded = [np.concatenate([np.zeros(CONTEXT, np.float32), line]) for line in lines]
    counts = [len(line) // STEP for line in lines]
    scores = [np.zeros(count, np.float32) for count in counts]
    for slot in range(len(lines)):
        session.reset(slot)
    for chunk in range(max(counts)):
        active = [slot for slot, count in enumerate(counts) if chunk < count]
        inputs = session.input_rows(len(active))
        for row, slot in zip(inputs, active, strict=True):
            row[:] = padded[slot][chunk * STEP : (chunk + 1) * STEP + CONTEXT]
        for row, slot in zip(session.run(active), active, strict=True):
            scores[slot][chunk] = row[0, 0]
    return scores


def theirs(line: F32, *, onnx: bool) -> F32:
    torch = pytest.importorskip("torch", reason="torch is absent, which silero-vad's own iterator needs")
    package = pytest.importorskip("silero_vad", reason="the silero-vad package is absent")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = package.load_silero_vad(onnx=onnx)
        model.reset_states()
        chunks = torch.from_numpy(line[: len(line) // STEP * STEP]).split(STEP)
        return np.array([model(chunk, RATE).item() for chunk in chunks], dtype=np.float32)


@pytest.fixture
def session(packs_dir: Path) -> Session:
    return Session(load_pack(packs_dir / "silero-vad"), provider=Provider.CPU)


@pytest.mark.parametrize("onnx", [True, False])
def test_every_chunk_equals_the_package_s_iterator(session: Session, onnx: bool) -> None:
    line = vowels()

    expected = theirs(line, onnx=onnx)

    assert expected.max() > 0.5 > expected.min(), "the signal must cross the threshold to say anything"
    np.testing.assert_allclose(ours(session, [line])[0], expected, atol=1e-4)


def test_every_chunk_of_real_speech_equals_it_whatever_else_is_in_the_batch(session: Session, shared: Path) -> None:
    whole = speech(shared)
    lines = [whole, whole[5000:20_000], vowels(), whole[::-1].copy()]

    for scores, line in zip(ours(session, lines), lines, strict=True):
        np.testing.assert_allclose(scores, theirs(line, onnx=True), atol=1e-4)
