"""Raw PCM through a real pipe: any format, any byte boundary, its end, and a stop in the middle."""

import os
from collections.abc import Iterator

import numpy as np
import pytest

from streamclf.audio.sources import parse_source
from streamclf.audio.sources.pipe import PipeSource
from streamclf.errors import RateError, SourceError
from streamclf.types import F32
from tests.support.listening import Listening


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue  # the test closed it


def noise(count: int, channels: int) -> F32:
    return (np.random.default_rng(3).standard_normal((count, channels)) * 0.1).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("form", ["s16le", "f32le"])
@pytest.mark.parametrize("step", [1, 7, 4096])
def test_any_boundary_between_bytes_gives_the_same_samples(
    pipe: tuple[int, int], channels: int, form: str, step: int
) -> None:
    samples = noise(500, channels)
    if form == "s16le":
        integers = np.round(samples * 32768).astype("<i2")
        data, samples = integers.tobytes(), integers.astype(np.float32) / np.float32(32768)
    else:
        data = samples.astype("<f4").tobytes()
    reading, writing = pipe
    listening = Listening(PipeSource(parse_source(f"pipe:16000,{channels},{form}"), fd=reading))
    for at in range(0, len(data), step):
        os.write(writing, data[at : at + step])
    os.close(writing)
    listening.until_ended()
    np.testing.assert_allclose(listening.samples, samples.mean(axis=1), atol=1e-7)
    assert listening.states == ["live", "gone"]
    assert listening.clock.started


def test_a_chosen_channel(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    listening = Listening(PipeSource(parse_source("pipe:16000,2,f32le#ch=2"), fd=reading))
    os.write(writing, noise(100, 2).tobytes())
    os.close(writing)
    listening.until_ended()
    np.testing.assert_array_equal(listening.samples, noise(100, 2)[:, 1])


def test_an_end_within_a_sample_is_said(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    listening = Listening(PipeSource(parse_source("pipe:16000,2"), fd=reading))
    os.write(writing, b"\0" * 11)
    os.close(writing)
    listening.until_ended()
    assert listening.ring.written == 2
    assert ("problem", "standard input ended within a sample; 3 bytes were left out") in listening.told


def test_an_end_before_any_sample_is_said(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.close(writing)
    listening = Listening(PipeSource(parse_source("pipe:16000"), fd=reading))
    listening.until_ended()
    assert listening.told == [("gone", "standard input ended before any sample came")]


def test_it_stops_while_the_writer_is_silent(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    listening = Listening(PipeSource(parse_source("pipe:16000"), fd=reading))
    os.write(writing, b"\0" * 640)
    listening.until(lambda: listening.ring.written == 320)
    listening.source.stop()
    listening.source.stop()
    assert listening.source.ended
    assert listening.states == ["live"]


def test_fast_it_never_laps_its_reader(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    taken = 0

    def room(listening: Listening) -> int:
        return listening.ring.capacity - (listening.ring.written - taken)

    source = PipeSource(parse_source("pipe:16000,1,f32le"), fast=True, fd=reading)
    listening = Listening(source, seconds=0.05, room=room)
    samples = noise(5000, 1)[:, 0]
    os.write(writing, samples.tobytes())
    os.close(writing)
    parts = []
    while taken < len(samples):
        listening.wake.wait(0.05)
        stop = min(listening.ring.written, taken + 300)
        parts.append(listening.ring.view(taken, stop).copy())
        taken = stop
    np.testing.assert_array_equal(np.concatenate(parts), samples)


def test_mistakes(pipe: tuple[int, int]) -> None:
    with pytest.raises(RateError, match="a rate of 11025 Hz"):
        PipeSource(parse_source("pipe:11025"), fd=pipe[0]).open()
    with pytest.raises(SourceError, match="has one channel, so ch=2 does not exist"):
        PipeSource(parse_source("pipe:16000#ch=2"), fd=pipe[0]).open()


def test_a_terminal_is_not_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    _, terminal = os.openpty()
    with open(terminal) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(SourceError, match="standard input is a terminal, not audio; pipe raw audio in"):
            PipeSource(parse_source("pipe:16000")).open()
