"""The heartbeat asks while all is well, stops while it is not, and tells nobody its address."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from streamclf.config import WatchConfig
from streamclf.daemon import heartbeat
from streamclf.daemon.heartbeat import Heartbeat, check_heartbeat, heartbeat_of
from streamclf.errors import ConfigError
from tools.lab.daemon import free_port
from tools.lab.receiver import http_receiver

pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_LOOK_S", 0.005)


def beating(config: WatchConfig, well: Callable[[], bool], until: Callable[[Heartbeat], bool]) -> Heartbeat:
    async def main() -> Heartbeat:
        beat = Heartbeat()
        task = asyncio.create_task(beat.run(lambda: config, well))
        async with asyncio.timeout(20):
            while not until(beat):
                await asyncio.sleep(0.005)
        task.cancel()
        return beat

    return asyncio.run(main())


def test_it_asks_again_and_again_while_all_is_well() -> None:
    with http_receiver() as server:
        config = WatchConfig(
            heartbeat=f"http://127.0.0.1:{server.port}/x", heartbeat_private=True, heartbeat_min=0.0001
        )
        beat = beating(config, lambda: len(server.requests) < 3, lambda beat: len(server.requests) == 3)
    assert beat.last_ms is not None


def test_it_does_not_ask_while_something_is_wrong() -> None:
    looks = iter(range(1000))
    with http_receiver() as server:
        config = WatchConfig(heartbeat=f"http://127.0.0.1:{server.port}/x", heartbeat_private=True)
        beat = beating(config, lambda: next(looks) < 0, lambda beat: next(looks) > 20)
        assert server.requests == []
    assert beat.last_ms is None


@pytest.mark.parametrize("private", [True, False])
def test_why_it_is_not_answered_is_told_without_the_address(private: bool, caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://127.0.0.1:{free_port()}/s3cret?key=s3cret"
    config = WatchConfig(heartbeat=url, heartbeat_private=private)
    beat = beating(config, lambda: True, lambda beat: bool(beat.problem))
    assert ("heartbeat_private = true allows" in beat.problem) is not private
    with pytest.raises(ConfigError, match="does not answer" if private else "no alert is sent to") as caught:
        check_heartbeat(config)
    assert "s3cret" not in f"{beat.problem} {caplog.text} {caught.value}"


def test_the_file_that_holds_it(tmp_path: Path) -> None:
    (path := tmp_path / "url").write_text(" https://hc.example.org/1 \n")
    assert heartbeat_of(WatchConfig(heartbeat_file=str(path))) == "https://hc.example.org/1"
    path.write_text("s3cret")
    with pytest.raises(ConfigError, match="holds no address") as caught:
        heartbeat_of(WatchConfig(heartbeat_file=str(path)))
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        heartbeat_of(WatchConfig(heartbeat_file=str(tmp_path / "no")))
