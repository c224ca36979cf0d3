"""Who speaks: a checkpoint with an XVector head, its pack, two voices enrolled by three clips each, and the live rows.

The checkpoint's weights are drawn by chance, so it knows voices by their sound alone: two made ones, far apart.
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
VOICES = {"anna": (210.0, (850.0, 2300.0, 3200.0)), "ben": (95.0, (400.0, 1000.0, 2200.0))}
"""Pitch and formants (Hz)."""
SPEAKS_S, PAUSE_S = 4.0, 2.0


def voice(name: str, seconds: float, seed: int) -> F32:
    """Pulses of a throat through three formants, a little different each time."""
    pitch, formants = VOICES[name]
    rng = np.random.default_rng(seed)
    at = np.arange(int(seconds * RATE)) / RATE
    phase = np.cumsum(pitch * (1 + 0.05 * np.sin(2 * np.pi * rng.uniform(2, 4) * at))) / RATE
    wave = np.zeros(len(at))
    for harmonic in range(1, int(4000 / pitch)):
        hz = harmonic * pitch
        loud = sum(1 / (1 + ((hz - formant) / 90) ** 2) for formant in formants)
        wave += loud * np.sin(2 * np.pi * harmonic * phase + rng.uniform(0, 6))
    wave *= 0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(3, 5) * at)  # syllables
    wave *= 0.1 / np.abs(wave).max()
    return np.asarray(wave + 0.0005 * rng.standard_normal(len(at)), dtype=np.float32)


def hiss(seconds: float, seed: int) -> F32:
    return np.asarray(0.0005 * np.random.default_rng(seed).standard_normal(int(seconds * RATE)), dtype=np.float32)


def cli(home: Path, *args: str) -> str:
    env = {"STREAMCLF_MODELS": str(home / "models"), "STREAMCLF_STORE_PATH": str(home / "store")}
    done = run_cli(*args, home=home, env=env | {"STREAMCLF_CONFIG": str(home / "config.toml")}, timeout_s=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_checkpoints_voices_are_enrolled_from_three_clips_and_told_live(daemon: StartDaemon, tmp_path: Path) -> None:
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

    whole, turn = 2 * (SPEAKS_S + PAUSE_S), SPEAKS_S + PAUSE_S
    for label, begins in (("anna", 0.0), ("ben", turn)):
        surest = [name for at_s, name in heard if 1.5 < (at_s - begins) % whole < SPEAKS_S]
        assert len(surest) > 50, "too few rows to judge"
        assert surest.count(label) > 0.9 * len(surest), (label, len(surest), surest.count(label))


async def follow(url: str, *, rounds: int) -> list[tuple[float, str]]:
    """Of each live row of what was taught its time in the stream (s) and the voice that it is surest of."""
    heard: list[tuple[float, str]] = []
    async for message in Client(url, tier="frame", encoding="f16").messages():
        if isinstance(message, wire.Scores) and message.pack == "taught":
            for at, row in enumerate(message.rows):
                heard.append(((message.first_frame + at) / 50, message.labels[int(np.argmax(row))]))
            if heard[-1][0] - heard[0][0] > rounds * 2 * (SPEAKS_S + PAUSE_S):
                break
    return heard
