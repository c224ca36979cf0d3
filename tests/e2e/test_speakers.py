"""Who speaks: a checkpoint with an XVector head, its pack, two voices enrolled by three clips each, their live rows.

The checkpoint's weights are drawn by chance: it goes the whole way and its rows follow the sound, but it is no judge of
voices. How well those are told apart by a net that learnt them `python -m tools.measure_teach --speakers` measures.
"""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("transformers", reason="the extra `train` is not installed")

from streamclf.client import Client
from streamclf.protocol import wire
from streamclf.types import F32
from tests.conftest import StartDaemon
from tools.lab.checkpoints import save_checkpoint
from tools.lab.daemon import run_cli

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RATE = 16_000
LIMIT_S = 300.0
VOICES = {"anna": (210.0, (850.0, 2300.0, 3200.0)), "ben": (0.0, (400.0, 1000.0, 2200.0))}
"""Pitch, 0 for who whispers, and formants (Hz)."""
SPEAKS_S, PAUSE_S = 4.0, 2.0


def voice(name: str, seconds: float, seed: int) -> F32:
    """Pulses of a throat, or breath, through three formants, a little different each time."""
    pitch, formants = VOICES[name]
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE)
    at = np.arange(count) / RATE
    if pitch:
        throat = np.cumsum(pitch * (1 + 0.05 * np.sin(2 * np.pi * rng.uniform(2, 4) * at))) / RATE % 1 < 0.1
        spectrum = np.fft.rfft(throat - throat.mean())
    else:
        spectrum = np.fft.rfft(rng.standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / RATE)
    wave = np.fft.irfft(spectrum * sum(1 / (1 + ((hz - formant) / 90) ** 2) for formant in formants), count)
    wave *= 0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(3, 5) * at)  # syllables
    wave *= 0.1 / np.abs(wave).max()
    return np.asarray(wave + 0.0005 * rng.standard_normal(count), dtype=np.float32)


def hiss(seconds: float, seed: int) -> F32:
    return np.asarray(0.0005 * np.random.default_rng(seed).standard_normal(int(seconds * RATE)), dtype=np.float32)


def cli(home: Path, *args: str) -> str:
    env = {"STREAMCLF_MODELS": str(home / "models"), "STREAMCLF_STORE_PATH": str(home / "store")}
    done = run_cli(*args, home=home, env=env | {"STREAMCLF_CONFIG": str(home / "config.toml")}, timeout_s=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_checkpoints_voices_are_enrolled_from_three_clips_and_have_live_rows(
    daemon: StartDaemon, tmp_path: Path
) -> None:
    parts = [voice("anna", SPEAKS_S, 50), hiss(PAUSE_S, 1), voice("ben", SPEAKS_S, 51), hiss(PAUSE_S, 2)]
    soundfile.write(tmp_path / "talk.wav", np.concatenate(parts), RATE, subtype="PCM_16")
    (tmp_path / "config.toml").write_text(
        f'source = ["file:{tmp_path}/talk.wav#loop=yes&name=desk"]\nmodel = ["voices"]\n'
    )
    checkpoint = save_checkpoint("Wav2Vec2ForXVector", tmp_path / "checkpoint")
    cli(
        tmp_path, "export", str(checkpoint), "--out", str(tmp_path / "made"), "--name", "voices", "--licence", "CC0-1.0"
    )
    cli(tmp_path, "models", "add", str(tmp_path / "made"))
    for at, name in enumerate(VOICES):
        (tmp_path / name).mkdir()
        for take in range(3):
            soundfile.write(tmp_path / name / f"{take}.wav", voice(name, 3.0, 10 * at + take), RATE)
        assert "3 examples" in cli(tmp_path, "teach", name, "--pack", "voices", "--clips", str(tmp_path / name))

    env = {"STREAMCLF_MODELS": str(tmp_path / "models"), "STREAMCLF_STORE_PATH": str(tmp_path / "store")}
    running = daemon(env=env | {"STREAMCLF_CONFIG": str(tmp_path / "config.toml")})

    heard = asyncio.run(asyncio.wait_for(follow(running.url, rounds=2), LIMIT_S))

    for label in VOICES:
        scores = np.array([row[label] for _, row in heard])
        assert len(scores) > 100, "too few rows"
        assert scores.std() > 0.01, f"{label} has {scores.mean():.3f} whoever speaks"


async def follow(url: str, *, rounds: int) -> list[tuple[float, dict[str, float]]]:
    """Of each live row of what was taught its time in the stream (s) and the score of each voice."""
    heard: list[tuple[float, dict[str, float]]] = []
    async for message in Client(url, tier="frame", encoding="f16").messages():
        if isinstance(message, wire.Scores) and message.pack == "taught":
            for at, row in enumerate(message.rows):
                heard.append(((message.first_frame + at) / 50, dict(zip(message.labels, row, strict=True))))
            if heard[-1][0] - heard[0][0] > rounds * 2 * (SPEAKS_S + PAUSE_S):
                break
    return heard
