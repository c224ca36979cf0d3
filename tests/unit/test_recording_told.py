"""What of a recording is damaged or no sound at all is told as it is."""

import sys
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


DAMAGES = {
    "a bit": lambda flac, at: flac[:at] + bytes([flac[at] ^ 0x10]) + flac[at + 1 :],
    "a piece cut out": lambda flac, at: flac[:at] + flac[at + 2_000 :],
    "a piece overwritten": lambda flac, at: flac[:at] + bytes(range(256)) * 8 + flac[at + 2_048 :],
}


@pytest.mark.parametrize("depth", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("damages", [["a bit"], ["a piece cut out"], ["a piece overwritten", "a bit"]])
def test_what_lies_behind_damage_in_a_flac_is_heard_in_its_place(
    tmp_path: Path, damages: list[str], depth: str
) -> None:
    path = tmp_path / "a.flac"
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, (10 * 16_000, 2)).astype(np.float32)
    soundfile.write(path, sound, 16_000, subtype=depth)
    whole, _ = soundfile.read(path, dtype="float32")
    flac = path.read_bytes()
    for number, name in enumerate(damages):
        flac = DAMAGES[name](flac, (3 - number) * len(flac) // 5)
    path.write_bytes(flac)
    problems: list[str] = []

    rate, samples, parts = open_blocks(path, problem=problems.append)
    got = np.concatenate([part.copy() for part in parts])

    assert (rate, samples, len(got)) == (16_000, 160_000, 160_000)
    wrong = ~np.isclose(got, whole.mean(axis=1), atol=1e-6)
    assert 0 < wrong.sum() <= 2 * 4_096 * len(damages), "only the frames that are damaged"
    assert not got[wrong].any()
    assert np.flatnonzero(wrong)[0] == pytest.approx(160_000 * (4 - len(damages)) / 5, abs=2 * 4_096)
    assert len(problems) == 1
    assert "s are missing and count as silence; all else was used" in problems[0]


def test_what_lies_behind_junk_in_an_mp3_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(20 * 16_000) / 16_000).astype(np.float32)
    tone[-16_000:] *= 0.1
    soundfile.write(path, tone, 16_000, format="MP3")
    mp3, junk = path.read_bytes(), np.random.default_rng(1).integers(0, 256, 4_000, dtype=np.uint8).tobytes()
    path.write_bytes(mp3[: len(mp3) // 2] + junk + mp3[len(mp3) // 2 + len(junk) :])
    problems: list[str] = []

    got = np.concatenate([part.copy() for part in open_blocks(path, problem=problems.append)[2]])

    assert len(got) == pytest.approx(20 * 16_000, abs=4_000)
    levels = [float(np.sqrt((got[at : at + 8_000] ** 2).mean())) for at in (8_000, 17 * 16_000, len(got) - 9_000)]
    assert levels == pytest.approx([0.21, 0.21, 0.021], rel=0.2)
    assert len(problems) == 1
    assert "is damaged: from " in problems[0]


def test_without_pyav_it_ends_where_a_flac_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(1).uniform(-0.5, 0.5, 160_000), 16_000)
    flac = path.read_bytes()
    path.write_bytes(DAMAGES["a bit"](flac, len(flac) // 2))
    problems: list[str] = []
    for _ in open_blocks(path, problem=problems.append)[2]:
        pass
    assert len(problems) == 1
    assert "cannot be read beyond" in problems[0]
    assert "install streamclf[url]" in problems[0]


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_an_mp3_of_few_bits_is_the_same_in_blocks_as_at_once(tmp_path: Path, rate: int) -> None:
    """Its frames borrow bits of those before them, which a decoder has only where it is never moved."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * np.arange(10 * rate) / rate), rate, format="MP3")
    whole, _ = soundfile.read(path, dtype="float32")

    got = np.concatenate([part.copy() for part in open_blocks(path)[2]])

    np.testing.assert_allclose(got, whole, atol=1e-6)
