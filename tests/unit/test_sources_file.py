"""Recordings: every format whole, in blocks, in a loop, damaged, and what is none."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.audio.resample import framed_rate
from streamclf.audio.sources import open_source, parse_source
from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.audio.sources.file import blocks, open_blocks
from streamclf.errors import SourceError
from streamclf.types import F32
from tests.support.listening import Listening


def noise(count: int, channels: int = 1) -> F32:
    return (np.random.default_rng(7).standard_normal((count, channels)) * 0.1).astype(np.float32)


def encode(
    path: Path, codec: str, samples: F32, options: dict[str, str] | None = None, *, quality: bool = False
) -> None:
    """samples: (channels, n) at 48 kHz, as FFmpeg writes them. quality: as many bytes as the sound needs."""
    av = pytest.importorskip("av", reason="PyAV (extra url) is not installed")
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=48_000, layout="mono" if len(samples) == 1 else "stereo")
        if quality:
            stream.codec_context.flags |= 2
            stream.codec_context.global_quality = 5 * 118
        else:
            stream.codec_context.bit_rate = 96_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=stream.layout.name)
        frame.sample_rate = 48_000
        converted = av.AudioResampler(stream.format, stream.layout, 48_000, stream.frame_size or 1024)
        for part in [*converted.resample(frame), *converted.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def fast(path: Path, options: str = "") -> Listening:
    listening = Listening(open_source(parse_source(f"file:{path}#{options}"), fast=True))
    listening.until_ended()
    return listening


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.wav", {"subtype": "FLOAT"}),
        ("a.flac", {}),
        ("a.ogg", {}),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
        ("a.mp3", {}),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_comes_whole(tmp_path: Path, name: str, form: dict[str, str], channels: int) -> None:
    path = tmp_path / name
    soundfile.write(path, noise(48_000, channels), 48_000, **form)
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
    listening = fast(path)
    np.testing.assert_allclose(listening.samples, expected, atol=1e-7)
    assert listening.states == ["live", "ended"]
    assert (listening.source.rate, listening.source.channels, listening.source.live) == (48_000, channels, False)
    rate, total, parts = open_blocks(path)
    assert (rate, total) == (48_000, len(expected))
    np.testing.assert_allclose(np.concatenate([part.copy() for part in parts]), expected, atol=1e-7)


def test_one_channel_is_taken_exactly(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(5000, 3), 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(fast(path, "ch=3").samples, noise(5000, 3)[:, 2])
    spec = parse_source(f"file:{path}#ch=2")
    parts = [(rate, block.copy()) for rate, block in blocks(spec)]
    assert {rate for rate, _ in parts} == {16_000}
    np.testing.assert_array_equal(np.concatenate([block for _, block in parts]), noise(5000, 3)[:, 1])
    with pytest.raises(SourceError, match="has 3 channels, so ch=4 does not exist"):
        open_source(parse_source(f"file:{path}#ch=4")).open()


@pytest.mark.parametrize(("name", "samples"), [("a.wav", 1000), ("a.mp3", 4608), ("a.ogg", 1000)])
def test_a_loop_is_continuous_and_has_no_hole(tmp_path: Path, name: str, samples: int) -> None:
    path = tmp_path / name
    soundfile.write(path, noise(samples), 16_000)
    once = soundfile.read(path, dtype="float32")[0]

    def room(listening: Listening) -> int:
        return 3 * len(once) + 17 - listening.ring.written

    listening = Listening(open_source(parse_source(f"file:{path}#loop=yes"), fast=True), room=room)
    listening.until(lambda: listening.ring.written >= 3 * len(once) + 17)
    listening.source.stop()
    np.testing.assert_allclose(listening.samples, np.resize(once, 3 * len(once) + 17), atol=1e-7)
    assert not listening.ring.holes
    assert listening.source.ended


def test_a_fast_file_never_laps_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(50_000), 16_000, subtype="FLOAT")
    read = 0

    def room(listening: Listening) -> int:
        return listening.ring.capacity - (listening.ring.written - read)

    listening = Listening(open_source(parse_source(f"file:{path}"), fast=True), seconds=0.1, room=room)
    taken = []
    while not listening.source.ended or read < listening.ring.written:
        listening.wake.wait(0.05)
        stop = min(listening.ring.written, read + 777)
        taken.append(listening.ring.view(read, stop).copy())
        read = stop
    np.testing.assert_array_equal(np.concatenate(taken), noise(50_000)[:, 0])


def test_samples_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = noise(1000)
    samples[[3, 500], 0] = np.nan, np.inf
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    listening = fast(path)
    samples[[3, 500], 0] = 0
    np.testing.assert_array_equal(listening.samples, samples[:, 0])
    assert listening.source.bad_samples == 2
    np.testing.assert_array_equal(np.concatenate([b.copy() for b in open_blocks(path)[2]]), samples[:, 0])


@pytest.mark.parametrize("name", ["cut.wav", "cut.flac", "cut.ogg", "cut.mp3"])
def test_what_is_left_of_a_cut_file_is_used_and_said(tmp_path: Path, name: str) -> None:
    whole, cut = tmp_path / ("whole" + Path(name).suffix), tmp_path / name
    soundfile.write(whole, noise(48_000), 48_000)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    expected = soundfile.read(whole, dtype="float32")[0]
    listening = fast(cut)
    assert listening.states == ["live", "problem", "ended"]
    assert str(cut) in listening.told[1][1]
    got = listening.samples
    assert 0.4 * len(expected) < len(got) < 0.75 * len(expected)
    np.testing.assert_allclose(got[:-3000], expected[: len(got) - 3000], atol=1e-6)
    with soundfile.SoundFile(cut) as file:
        assert len(got) >= min(file.frames, 0.55 * len(expected))
    problems: list[str] = []
    for _ in open_blocks(cut, problem=problems.append)[2]:
        pass
    assert problems == [listening.told[1][1]]


@pytest.mark.parametrize(("subtype", "left", "problems"), [("OPUS", 0, 0), ("VORBIS", 0, 0), ("VORBIS", 1, 1)])
def test_a_short_ogg_file_is_whole_unless_its_only_page_is_cut(
    tmp_path: Path, subtype: str, left: int, problems: int
) -> None:
    path = tmp_path / "short.ogg"
    soundfile.write(path, noise(24_000), 48_000, format="OGG", subtype=subtype)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - left])
    told: list[str] = []
    count = sum(len(block) for block in open_blocks(path, problem=told.append)[2])
    assert len(told) == problems
    assert (count == 24_000) == (left == 0)


def test_a_wav_whose_writer_could_not_seek_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "streamed.wav"
    soundfile.write(path, noise(4800), 48_000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = data[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    listening = fast(path)
    assert listening.ring.written == 4800
    assert listening.states == ["live", "ended"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "notes.txt",
            b"dear diary\n" * 50,
            "is not audio that libsndfile or FFmpeg can read (Format not recognised)",
        ),
        (
            "notes.wav",
            b"dear diary\n" * 50,
            "is not audio that libsndfile or FFmpeg can read (Format not recognised)",
        ),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "is not audio that libsndfile or FFmpeg can read"),
        ("samples.raw", b"\0\0" * 50, "holds raw samples, which carry no rate; make a wav of it first"),
        ("empty.wav", b"", "is empty (0 bytes); give an audio file"),
    ],
)
def test_what_is_no_audio_gets_one_sentence(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        open_blocks(path)
    assert str(caught.value).startswith(f"{path} {sentence}")
    with pytest.raises(SourceError) as again:
        open_source(parse_source(f"file:{path}")).open()
    assert str(again.value) == str(caught.value)


def test_places_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a folder; give an audio file in it"):
        open_blocks(tmp_path)
    with pytest.raises(SourceError, match=r"absent\.wav does not exist; check the path"):
        open_blocks(tmp_path / "absent.wav")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(SourceError, match=r"a\.txt/x\.wav cannot be read: Not a directory"):
        open_blocks(tmp_path / "a.txt" / "x.wav")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SourceError, match="is not a regular file; raw audio from a pipe is --source pipe:RATE"):
        open_blocks(tmp_path / "fifo")


def test_a_file_without_permission(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(100), 16_000)
    path.chmod(0)
    with pytest.raises(SourceError, match="cannot be read: Permission denied"):
        open_blocks(path)


def test_a_recording_without_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(0), 16_000)
    with pytest.raises(SourceError, match="holds no samples"):
        open_blocks(path)


@pytest.mark.parametrize(("own", "rate"), [(11_025, 16_000), (22_255, 48_000), (44_056, 48_000)])
def test_a_rate_without_a_whole_frame_is_resampled_and_a_moment_stays_where_it_was(
    tmp_path: Path, own: int, rate: int
) -> None:
    path = tmp_path / "a.wav"
    seconds = 2.0
    time_s = np.arange(round(seconds * own)) / own
    tone = np.where(time_s < 1.0, 0.0, 0.5 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)
    soundfile.write(path, tone, own, subtype="FLOAT")

    told, total, parts = open_blocks(path)
    got = np.concatenate([part.copy() for part in parts])

    assert (told, total, len(got)) == (rate, round(len(tone) * rate / own), round(len(tone) * rate / own))
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(got)) / rate)
    inside = slice(round(1.1 * rate), round(1.9 * rate))
    assert np.abs(got[inside] - expected[inside]).max() < 2e-3
    assert np.abs(got[: round(0.95 * rate)]).max() < 1e-3
    listening = fast(path)
    assert (listening.source.rate, listening.ring.written) == (rate, len(got))


def test_a_rate_beyond_the_usual_ones_becomes_the_next_that_has_whole_frames() -> None:
    assert [framed_rate(rate) for rate in (384_001, 400_000)] == [384_050, 400_000]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.m4a", "aac"), ("a.mp4", "aac"), ("a.webm", "libopus"), ("a.wma", "wmav2"), ("a.ac3", "ac3")]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_phones_and_browsers_write_is_read_by_ffmpeg(tmp_path: Path, name: str, codec: str, channels: int) -> None:
    path = tmp_path / name
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(96_000) / 48_000)
    encode(path, codec, np.tile(tone.astype(np.float32), (channels, 1)))

    problems: list[str] = []
    rate, total, parts = open_blocks(path, problem=problems.append)
    got = np.concatenate([part.copy() for part in parts])

    assert (rate, problems) == (48_000, [])
    assert abs(len(got) - 96_000) < 5_000, "but for what the encoder puts around it"
    assert total == 0 or abs(total - 96_000) < 5_000
    assert np.sqrt((got[20_000:70_000] ** 2).mean()) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)
    if name == "a.m4a":
        cut = tmp_path / "cut.webm"
        encode(tmp_path / "long.webm", "libopus", np.tile(tone.astype(np.float32), (channels, 3)))
        whole = (tmp_path / "long.webm").read_bytes()
        cut.write_bytes(whole[: len(whole) // 2])
        for _ in open_blocks(cut, problem=problems.append)[2]:
            pass
        assert len(problems) == 1
        assert "is cut off after" in problems[0]


def test_a_container_without_sound_or_without_ffmpeg_gets_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.m4a"
    encode(path, "aac", np.zeros((1, 48_000), np.float32))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SourceError, match=r"can read \(.*\); use wav.*or install streamclf\[url\]"):
        open_blocks(path)


def test_an_mp3_that_does_not_state_its_length_is_heard_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp3"
    tone = np.tile(np.sin(np.arange(48_000) / 20).astype(np.float32) * 0.2, (1, 4))
    tone[:, :48_000] = 0  # a first second that needs few bytes makes the guess too short, or too long
    encode(path, "libmp3lame", tone, {"write_xing": "0"}, quality=True)
    problems: list[str] = []
    rate, total, parts = open_blocks(path, problem=problems.append)
    assert (rate, total, problems) == (48_000, 0, [])
    assert sum(len(part) for part in parts) == pytest.approx(192_000, abs=3000)

    monkeypatch.setitem(sys.modules, "av", None)
    for _ in open_blocks(path, problem=problems.append)[2]:
        pass
    assert len(problems) == 1
    assert "which is a guess" in problems[0]


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        (lambda n: [n, -n], "cancel each other (antiphase), so that nothing is left of their mix; take one of them"),
        (lambda n: [n, -0.95 * n], "cancel each other (antiphase), so that 32 dB less is left"),
        (lambda n: [0 * n, n, 0 * n], "each of the channels 1 and 3 is silent and makes the mix quieter; take one"),
        (lambda n: [n, np.full_like(n, np.nan)], "channel 2 is not a number; the others alone are heard"),
        (lambda n: [n, n], ""),
        (lambda n: [n, np.roll(n, 500)], ""),
        (lambda n: [0 * n, 0 * n], ""),
    ],
)
@pytest.mark.parametrize("seconds", [1, 7])
def test_a_mix_never_hides_sound_untold(
    tmp_path: Path, channels: Callable[[F32], list[F32]], words: str, seconds: int
) -> None:
    path = tmp_path / "a.wav"
    sound = noise(seconds * 16_000)[:, 0]
    soundfile.write(path, np.stack(channels(sound), axis=1), 16_000, subtype="FLOAT")
    told: list[str] = []
    got = np.concatenate([part.copy() for part in open_blocks(path, notice=told.append)[2]])
    assert (words in told[0], len(told)) == (True, 1) if words else not told
    assert np.isfinite(got).all()
    if "number" in words:
        np.testing.assert_allclose(got, sound / 2, atol=1e-6)
    taken = open_blocks(path, spec=parse_source(f"file:{path}#ch=1"), notice=told.append)[2]
    for _ in taken:
        pass
    assert len(told) == bool(words), "of one channel there is no mix"


@pytest.mark.parametrize("rate", [1_700_000_000, 768_050])
def test_a_rate_beyond_any_device(tmp_path: Path, rate: int) -> None:
    """The ring of seconds at 1.7 GHz would take 125 GiB."""
    path = tmp_path / "fast.wav"
    soundfile.write(path, np.zeros(100), rate)
    with pytest.raises(SourceError, match=rf"fast\.wav states a rate of {rate} Hz; 100 to 768000 are expected"):
        open_blocks(path)
    with pytest.raises(SourceError, match="100 to 768000"):
        open_source(parse_source(f"file:{path}")).open()


def test_the_highest_rate_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "fast.wav"
    soundfile.write(path, np.zeros(100), 768_000)
    assert open_blocks(path)[0] == 768_000


def test_stopping_comes_at_once_and_may_come_twice_or_first(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(160_000), 16_000)
    listening = Listening(open_source(parse_source(f"file:{path}"), fast=True), room=lambda _: 0)
    listening.until(lambda: "live" in listening.states)
    listening.source.stop()
    listening.source.stop()
    assert listening.source.ended
    assert listening.states == ["live"]
    assert listening.ring.written == 0
    unstarted = open_source(parse_source(f"file:{path}"))
    unstarted.open()
    unstarted.stop()
    with pytest.raises(SourceError, match="must be opened, then started once"):
        Listening(unstarted)


def test_the_demo_loops_and_says_that_it_is_no_microphone() -> None:
    once = soundfile.read(DEMO_FILE, dtype="float32")[0]
    spec = parse_source("demo")
    wanted = len(once) + 5000

    def room(listening: Listening) -> int:
        return wanted - listening.ring.written

    listening = Listening(open_source(spec, fast=True), room=room)
    listening.until(lambda: listening.ring.written == wanted)
    listening.source.stop()
    np.testing.assert_array_equal(listening.samples, np.resize(once, wanted))
    assert "demo recording" in listening.source.description
    assert "no live sound; none of it is kept or told without #store=yes" in listening.source.description
