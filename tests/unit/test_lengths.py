"""Headers that tell of a part of a recording: all of it is heard, or what is missing is told."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from streamclf.audio.sources import ffmpeg
from streamclf.audio.sources.lengths import mp3_states_length, ogg_is_chained, wav_is_unfinished
from streamclf.audio.sources.recording import AudioFile
from streamclf.audio.sources.spec import parse_source
from streamclf.errors import SourceError
from streamclf.types import F32

RATE = 16_000
SOUND: F32 = (0.2 * np.random.default_rng(5).standard_normal(2 * RATE)).astype(np.float32)


def hear(path: Path) -> tuple[float, list[str]]:
    """Seconds that came, and what was told."""
    told: list[str] = []
    spec = parse_source(f"file:{path}#")
    with AudioFile(path, spec) as audio:
        count = sum(len(block) for block in audio.blocks(spec, 1600, told.append, told.append))
        return count / audio.rate, told


def written(path: Path, *, rate: int = RATE, **kind: str) -> bytes:
    soundfile.write(path, SOUND, rate, **kind)
    return path.read_bytes()


def wav(data: bytes, *, stated: int | None = None, rate: int = RATE, kind: int = 1) -> bytes:
    form = struct.pack("<HHIIHH", kind, 1, rate, 2 * rate, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data"
    return b"RIFF" + struct.pack("<I", 0) + body + struct.pack("<I", len(data) if stated is None else stated) + data


@pytest.mark.parametrize("name", ["joined.ogg", "joined.opus", "joined.mp3"])
def test_recordings_that_were_joined_are_heard_to_the_end(tmp_path: Path, name: str) -> None:
    pytest.importorskip("av", reason="PyAV is absent (pip install streamclf[url])")
    kinds: dict[str, dict[str, Any]] = {"opus": {"format": "OGG", "subtype": "OPUS"}}
    kind = kinds.get(name.split(".")[1], {})
    whole = tmp_path / name
    whole.write_bytes(2 * written(tmp_path / f"one.{name.split('.')[1]}", **kind))

    heard, _ = hear(whole)

    assert heard == pytest.approx(4.0, abs=0.15)
    assert hear(tmp_path / f"one.{name.split('.')[1]}")[1] == []


def test_without_ffmpeg_it_is_told_that_another_recording_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "joined.ogg"
    whole.write_bytes(2 * written(tmp_path / "one.ogg"))
    monkeypatch.setattr(ffmpeg, "load", lambda: None)

    heard, told = hear(whole)

    assert heard == pytest.approx(2.0, abs=0.02)
    assert ["another recording follows in it; install streamclf[url]" in said for said in told] == [True]


def test_joined_recordings_of_other_rates_are_heard_or_the_loss_is_told(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV is absent (pip install streamclf[url])")
    whole = tmp_path / "joined.ogg"
    whole.write_bytes(written(tmp_path / "one.ogg") + written(tmp_path / "two.ogg", rate=22_050))

    heard, told = hear(whole)

    assert heard > 3.0 or any("the rest is lost" in said for said in told)


@pytest.mark.parametrize(
    ("make", "joined"),
    [
        (lambda one: one, False),
        (lambda one: one + b"APETAGEX" + struct.pack("<IIII", 2000, 20_000, 1, 0) + bytes(8), False),
        (lambda one: one + bytes(19_968) + b"APETAGEX" + struct.pack("<IIII", 2000, 20_000, 1, 0) + bytes(8), False),
        (lambda one: one + b"TAG" + bytes(125), False),
        (lambda one: one + one, True),
    ],
)
def test_the_length_of_an_mp3_is_believed_where_nothing_but_tags_follows(
    tmp_path: Path, make: Callable[[bytes], bytes], joined: bool
) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(make(written(path)))

    assert mp3_states_length(path) is not joined


def test_pages_of_one_ogg_recording_are_no_chain_also_where_some_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    content = bytearray(written(path))
    assert not ogg_is_chained(path)
    second = content.index(b"OggS", 4)
    content[second : second + 4] = b"XXXX"
    path.write_bytes(content)
    assert not ogg_is_chained(path)


def test_a_wav_whose_recorder_lost_its_power_is_heard(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV is absent (pip install streamclf[url])")
    path = tmp_path / "night.wav"
    path.write_bytes(wav((SOUND * 32767).astype("<i2").tobytes(), stated=0))

    assert hear(path) == (2.0, [])


@pytest.mark.parametrize("behind", [b"", b"LIST" + struct.pack("<I", 12) + b"INFOICMT" + bytes(4)])
def test_a_wav_without_sound_is_refused_whatever_else_it_holds(tmp_path: Path, behind: bytes) -> None:
    path = tmp_path / "none.wav"
    path.write_bytes(wav(behind, stated=0))

    assert not wav_is_unfinished(path)
    with pytest.raises(SourceError, match="holds no samples"):
        hear(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (wav(bytes(4000), kind=3), "is not audio that libsndfile"),
        (wav(bytes(4000), rate=1), "states a rate of 1 Hz; 100 to 768000 are expected, so its header is damaged"),
    ],
)
def test_headers_that_cannot_be_true_are_a_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "odd.wav"
    path.write_bytes(content)

    with pytest.raises(SourceError, match=said):
        hear(path)
