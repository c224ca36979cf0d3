"""What of a recording is damaged or no sound at all is told as it is."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.audio.sources.file import open_blocks
from streamclf.errors import SourceError


def test_samples_that_are_not_numbers_are_told_and_heard_as_silence(tmp_path: Path) -> None:
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, 16_000).astype(np.float32)
    sound[100:107] = np.nan
    sound[200] = np.inf
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    problems: list[str] = []

    got = np.concatenate([part.copy() for part in open_blocks(tmp_path / "a.wav", problem=problems.append)[2]])

    assert problems == [
        f"{tmp_path / 'a.wav'} has 8 samples that are not numbers (NaN, infinite); they count as silence"
    ]
    assert np.array_equal(got, np.where(np.isfinite(sound), sound, 0))


def test_a_page_that_was_saved_as_mp3_is_not_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_text("<!DOCTYPE html><html></html>")
    with pytest.raises(SourceError, match=r"can read \(it is no MPEG audio\)"):
        open_blocks(tmp_path / "a.mp3")
