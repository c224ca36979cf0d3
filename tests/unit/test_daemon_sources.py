"""The sources of a daemon as a part: what is opened is closed, also where the end comes in the middle."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from streamclf.audio.sources.portaudio import NoPortAudioError
from streamclf.config import Config
from streamclf.daemon import sources as daemon_sources
from streamclf.daemon.sources import OpenSources
from streamclf.errors import SourceError, StreamclfError
from streamclf.types import StreamState

LIMIT_S = 20.0


class SlowSource:
    """A source that is open once `go` is set."""

    rate = 16_000

    def __init__(self) -> None:
        self.opening = threading.Event()
        self.go = threading.Event()
        self.stopped = threading.Event()

    def open(self) -> None:
        self.opening.set()
        assert self.go.wait(LIMIT_S)

    def stop(self) -> None:
        self.stopped.set()


class AbsentSource:
    """A source that cannot be opened."""

    def open(self) -> None:
        raise SourceError("there is no such file")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowSource:
    """The source `demo`; any other is absent."""
    made = SlowSource()
    monkeypatch.setattr(
        daemon_sources, "open_source", lambda spec, **_: made if spec.kind == "demo" else AbsentSource()
    )
    return made


def test_a_source_that_is_open_only_after_the_end_is_closed_at_once(slow: SlowSource) -> None:
    nothing: Any = None

    async def main() -> None:
        sources = OpenSources(Config(source=("demo",)), nothing)
        starting = asyncio.create_task(sources.start())
        await asyncio.to_thread(slow.opening.wait, LIMIT_S)
        assert await sources.stop(LIMIT_S)
        assert not slow.stopped.is_set()
        slow.go.set()
        with pytest.raises(StreamclfError, match="stopping"):
            await starting

    asyncio.run(main())
    assert slow.stopped.is_set()


def test_what_was_opened_before_one_that_is_absent_is_closed(slow: SlowSource, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Any = None
    monkeypatch.setattr(OpenSources, "_stream_of", lambda *_: None)
    slow.go.set()

    async def main() -> None:
        sources = OpenSources(Config(source=("demo", "file:absent.wav")), nothing)
        with pytest.raises(SourceError, match="no such file"):
            await sources.start()
        assert await sources.stop(LIMIT_S)

    asyncio.run(main())
    assert slow.stopped.is_set()


class PatientSource(SlowSource):
    """A `SlowSource` that can be waited for."""

    expected = ""

    def expect(self, reason: str) -> None:
        self.expected = reason


def test_a_source_that_does_not_answer_in_time_is_waited_for_and_what_opens_late_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = [PatientSource(), PatientSource()]
    given = iter(made)
    streams = [SimpleNamespace(info=SimpleNamespace(state=StreamState.LIVE, detail=""))]
    monkeypatch.setattr(daemon_sources, "open_source", lambda spec, **_: next(given))
    monkeypatch.setattr(daemon_sources, "OPEN_S", 0.05)
    monkeypatch.setattr(OpenSources, "_stream_of", lambda *_: streams[0])
    nothing: Any = None

    async def main() -> None:
        sources = OpenSources(Config(source=("url:http://camera/x",)), nothing)
        await sources.start()
        assert (made[0].expected, made[1].expected) == ("", "it has not answered within 0.05 s")
        assert streams[0].info.state is StreamState.LOST
        assert streams[0].info.detail == (
            "not there since the start, and tried again soon: it has not answered within 0.05 s"
        )
        made[0].go.set()
        assert await asyncio.to_thread(made[0].stopped.wait, LIMIT_S)
        assert not made[1].stopped.is_set()
        assert await sources.stop(LIMIT_S)
        assert made[1].stopped.is_set()

    asyncio.run(main())


def test_where_no_portaudio_is_a_named_microphone_is_refused_and_else_the_demo_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Deaf(PatientSource):
        def open(self) -> None:
            raise NoPortAudioError("PortAudio cannot be used")

    opened = PatientSource()
    opened.go.set()
    monkeypatch.setattr(daemon_sources, "open_source", lambda spec, **_: Deaf() if spec.kind == "device" else opened)
    monkeypatch.setattr(
        OpenSources,
        "_stream_of",
        lambda _, spec, source: SimpleNamespace(
            name=spec.name, stands_in_for="", info=SimpleNamespace(state=StreamState.LIVE, detail="")
        ),
    )
    nothing: Any = None

    async def main() -> None:
        with pytest.raises(NoPortAudioError):
            await OpenSources(Config(source=("device",)), nothing).start()
        sources = OpenSources(Config(), nothing)
        await sources.start()
        told: list[Any] = list(sources.streams)
        assert [(one.name, one.info.state, one.stands_in_for) for one in told] == [
            ("demo", StreamState.LIVE, "device"),
            ("device", StreamState.LOST, ""),
        ]
        assert await sources.stop(LIMIT_S)

    asyncio.run(main())
