"""The self-test: a known sound is played into a stream of its own, and its label has to come back to a subscriber.

Theory of operation. The stream `self-test` runs through the same packs as the others. Between two tests it gets no
samples and costs nothing. For a test the sound is written to its ring in real time, as a source would; a client of the
daemon's own websocket, connected like any other, waits for the event. Its time counts from the first sample of the
sound. Where the event is late, health says so until a test succeeds, and an alert goes to the sinks that are named.
Events of this stream are marked as a test: no rule looks at them, and no count holds them.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamclf import metrics
from streamclf.alerts import outbox
from streamclf.alerts.alert import own_alert
from streamclf.alerts.dispatch import Write
from streamclf.audio.ring import Ring
from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.audio.sources.file import open_blocks
from streamclf.audio.wake import Wake
from streamclf.client import Client, Subscription
from streamclf.clock import FRAMES_PER_SECOND, StreamClock, hop_of
from streamclf.config import SelftestConfig
from streamclf.engine.engine import Engine
from streamclf.engine.stream import Stream
from streamclf.errors import ConfigError, ServeError
from streamclf.model.pack import Pack
from streamclf.protocol import wire
from streamclf.serve.info import StreamInfo
from streamclf.types import F32, StreamState

log = logging.getLogger("streamclf")

STREAM = "self-test"
LONGEST_S = 30
_FIRST_S = 5.0  # after the start; the other streams come first
_LEAD_S = 0.5  # silence before the sound, so that a model has settled
_CONNECT_S = 10.0


@dataclass(slots=True)
class SelfTest:
    """Made by `prepare`. problem: why the last test failed, "" where it did not. sound: mono float32 at `rate`."""

    config: SelftestConfig
    rate: int
    sound: F32
    ring: Ring
    clock: StreamClock
    info: StreamInfo
    problem: str = ""

    async def run(
        self,
        url: str,
        token: str | None,
        wake: Wake,
        record: Callable[[Write], object] | None,
        trust: Callable[[], ssl.SSLContext | None] = lambda: None,
    ) -> None:
        """Test again and again. record: has a write done by the writer, for alerts; None where nothing is kept.

        trust: by what our own server is believed, where it speaks TLS.
        """
        await asyncio.sleep(_FIRST_S)
        while True:
            began_s = time.monotonic()
            took_ms = await self._test(url, token, wake, trust())
            late = took_ms is None or took_ms > self.config.budget_ms
            metrics.SELFTESTS.labels("failed" if late else "passed").inc()
            if took_ms is not None:
                metrics.SELFTEST_SECONDS.set(took_ms / 1000)
            self._judge(took_ms, late, record)
            await asyncio.sleep(max(0.0, self.config.every_min * 60 - (time.monotonic() - began_s)))

    async def _test(self, url: str, token: str | None, wake: Wake, trust: ssl.SSLContext | None) -> float | None:
        """Milliseconds from the sound's beginning to the event at a subscriber; None where it did not come."""
        wish = Subscription(streams=[STREAM], tier="events", labels=[self.config.label])
        client = Client(url, wish, token=token, trust=trust, reconnect=False)
        ready = asyncio.Event()
        arrived: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        listening = asyncio.create_task(self._listen(client, ready, arrived))
        try:
            async with asyncio.timeout(_CONNECT_S):
                await ready.wait()
            began_s = await self._play(wake)
            limit_s = max(0.0, began_s + self.config.budget_ms / 1000 - time.monotonic())
            async with asyncio.timeout(limit_s):
                return 1000 * (await arrived - began_s)
        except TimeoutError:
            return None
        finally:
            listening.cancel()

    async def _listen(self, client: Client, ready: asyncio.Event, arrived: "asyncio.Future[float]") -> None:
        try:
            async for message in client.messages():
                if isinstance(message, wire.Subscribed):
                    ready.set()
                elif isinstance(message, wire.Event) and message.stage == "open" and not arrived.done():
                    arrived.set_result(time.monotonic())
        except (ServeError, OSError) as fault:
            log.warning("self-test: %s", fault)

    async def _play(self, wake: Wake) -> float:
        """Write the sound in real time. Returns when its first sample was written (monotonic seconds)."""
        hop = hop_of(self.rate)
        # what a model remembers of the last test ends here
        self.ring.skip(hop, "between two self-tests")
        self.clock.start(first_sample=self.ring.written, wall_ns=time.time_ns())
        lead = np.zeros(int(_LEAD_S * FRAMES_PER_SECOND) * hop, dtype=np.float32)
        samples = np.concatenate([lead, self.sound, np.zeros(-len(self.sound) % hop, dtype=np.float32), lead])
        zero_s, began_s = time.monotonic(), 0.0
        for number, at in enumerate(range(0, len(samples), hop)):
            await asyncio.sleep(zero_s + (number + 1) / FRAMES_PER_SECOND - time.monotonic())
            if at == len(lead):
                began_s = time.monotonic()
            self.ring.write(samples[at : at + hop])
            wake.set()
        return began_s

    def _judge(self, took_ms: float | None, late: bool, record: Callable[[Write], object] | None) -> None:
        if not late:
            if self.problem:
                log.info("self-test: well again, %s after %.0f ms", self.config.label, took_ms)
            self.problem = ""
            return
        when = "did not reach" if took_ms is None else f"took {took_ms:.0f} ms to reach"
        self.problem = f"self-test: {self.config.label} {when} a subscriber, {self.config.budget_ms} ms were allowed"
        log.error("%s", self.problem)
        if record is not None and self.config.sinks:
            alert = own_alert(
                STREAM, self.problem, at_ns=time.time_ns(), sinks=self.config.sinks, stage="close",
                label=self.config.label, stream=STREAM, test=True,
            )  # fmt: skip
            record(lambda tx: outbox.put(tx, [alert], now_ns=alert.at_ns))


def prepare(config: SelftestConfig, engine: Engine) -> SelfTest | None:
    """Read the sound and add the stream to `engine`; None where the self-test is off.

    Raises ConfigError where no pack knows the label or the stream's name is taken, `SourceError` for the recording.
    """
    if not config.enabled:
        return None
    if STREAM in engine.streams:
        raise ConfigError(f"a source is called {STREAM}, which is the self-test's own stream; give it another name")
    path, rate, sound = check_selftest(config, [runner.pack for runner in engine.runners])
    ring = Ring(2 * rate)
    engine.add(Stream(STREAM, rate=rate, ring=ring), packs=[runner.name for runner in engine.runners])
    clock = StreamClock(rate)
    info = StreamInfo(
        name=STREAM,
        rate=rate,
        clock=clock,
        source=f"{path.name}, every {config.every_min} min",
        state=StreamState.WAITING,
        test=True,
        packs=[track.manifest.name for track in engine.tracks[STREAM]],
    )
    return SelfTest(config, rate, sound, ring, clock, info)


def check_selftest(config: SelftestConfig, packs: Sequence[Pack]) -> tuple[Path, int, F32]:
    """The recording, its rate and its sound, whose label one of `packs` knows; of a test that is off, nothing.

    Raises ConfigError and `SourceError` as `prepare` does.
    """
    path = Path(config.sound).expanduser() if config.sound else DEMO_FILE
    if not config.enabled:
        return path, 0, np.zeros(0, dtype=np.float32)
    if config.label not in {label.id for pack in packs for label in pack.labels}:
        raise ConfigError(f"selftest.label: no pack in use knows {config.label!r}; name a label that the sound holds")
    rate, _, blocks = open_blocks(path)
    # a block is good until the next one comes
    sound = np.concatenate([*(block.copy() for block in blocks), np.zeros(0, dtype=np.float32)])[: LONGEST_S * rate]
    if len(sound) < rate // 10:
        raise ConfigError(
            f"selftest.sound {path} has {len(sound) / rate:.2f} s of sound; a tenth of a second is needed"
        )
    return path, rate, sound
