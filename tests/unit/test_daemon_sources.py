"""The sources of a daemon as a part: what is opened is closed, also where the end comes in the middle."""

import asyncio
import threading
from typing import Any

import pytest

from streamclf.config import Config
from streamclf.daemon import sources as daemon_sources
from streamclf.daemon.sources import OpenSources
from streamclf.errors import SourceError, StreamclfError

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
