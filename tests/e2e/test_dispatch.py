"""The dispatcher between a real outbox and real receivers; the clock alone is ours."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from streamclf.alerts import outbox
from streamclf.alerts.alert import Alert, Gate
from streamclf.alerts.sinks import Sink, Temporary, open_sink
from streamclf.alerts.sinks.ndjson import NdjsonConfig
from streamclf.alerts.sinks.webhook import WebhookConfig
from streamclf.clock import NS_PER_SECOND
from streamclf.errors import ConfigError
from streamclf.store.database import Store
from tests.support.alerts import AT_NS, make_alert
from tests.support.desk import desk_of
from tools.lab.daemon import free_port as find_free_port
from tools.lab.receiver import http_receiver

pytestmark = pytest.mark.e2e

pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store")
    yield opened
    opened.close()


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def webhook(port: int) -> Callable[[], Sink]:
    return lambda: open_sink("hook", WebhookConfig(f"http://127.0.0.1:{port}/", private=True, timeout_s=5))


def test_a_receiver_that_is_down_for_a_day_gets_all_in_order_and_nothing_else_is_late(
    store: Store, tmp_path: Path
) -> None:
    port = find_free_port()
    rules = ("birds", "owls", "bells")
    alerts = [make_alert(i, rule=rule, sinks=("hook", "file")) for i in range(6) for rule in rules]

    def tried_more_than(tries: int) -> Callable[[], bool]:
        return lambda: sum(head.attempts for head in outbox.heads(store.connection, "hook")) > tries

    async def main() -> None:
        file = tmp_path / "alerts.ndjson"
        async with desk_of(store, hook=webhook(port), file=lambda: open_sink("file", NdjsonConfig(str(file)))) as desk:
            desk.put(*alerts)
            await desk.until(lambda: desk.states().count("sent") == len(alerts))
            assert len(file.read_text().splitlines()) == len(alerts)
            while desk.now_ns < AT_NS + 24 * 3600 * NS_PER_SECOND:
                heads = outbox.heads(store.connection, "hook")
                desk.now_ns = max(desk.now_ns, heads[0].next_ns)
                tries = sum(head.attempts for head in heads)
                desk.dispatcher.committed()
                await desk.until(tried_more_than(tries))
            assert "hook" in desk.dispatcher.problems
            assert "pending" in desk.states()
            with http_receiver(port) as receiver:
                async with asyncio.timeout(30):
                    while desk.states() != ["sent"] * 2 * len(alerts):
                        # a try that was under way may fail after this, and be due again only later
                        desk.now_ns += 60 * NS_PER_SECOND
                        desk.dispatcher.committed()
                        await asyncio.sleep(0.01)
            assert "hook" not in desk.dispatcher.problems
            for rule in rules:
                told = [request.data["id"] for request in receiver.requests if request.data["rule"] == rule]
                assert told == [alert.id for alert in alerts if alert.rule == rule]

    run(main())


def test_a_slow_sink_delays_no_other(store: Store) -> None:
    class Slow(Sink):
        async def send(self, alert: Alert) -> None:
            await asyncio.Event().wait()

    async def main() -> None:
        with http_receiver() as receiver:
            async with desk_of(store, slow=Slow, hook=webhook(receiver.port)) as desk:
                desk.put(*(make_alert(i, sinks=("slow", "hook")) for i in range(5)))
                await desk.until(lambda: desk.states().count("sent") == 5)
            assert outbox.waiting(store.connection) == {"slow": {"pending": 5}}

    run(main())


def test_what_was_sent_is_not_sent_again_while_the_disk_takes_its_time(store: Store) -> None:
    async def main() -> None:
        with http_receiver() as receiver:
            async with desk_of(store, hook=webhook(receiver.port)) as desk:
                desk.held = []
                desk.put(make_alert(1, sinks=("hook",)), make_alert(2, sinks=("hook",)))
                await desk.until(lambda: bool(desk.held))
                for _ in range(20):
                    desk.dispatcher.committed()
                    await asyncio.sleep(0.005)
                assert len(receiver.requests) == 1
                held, desk.held = desk.held, None
                for write in held:
                    desk.write(write)
                await desk.until(lambda: desk.states() == ["sent", "sent"])
        assert [request.data["id"] for request in receiver.requests] == [make_alert(1).id, make_alert(2).id]

    run(main())


def test_a_fault_inside_a_sink_loses_no_alert_and_a_sink_that_cannot_open_is_tried_again(store: Store) -> None:
    class Faulty(Sink):
        broken = True

        async def send(self, alert: Alert) -> None:
            if Faulty.broken:
                raise KeyError("a fault of ours")

    opens: list[int] = []

    def opener() -> Sink:
        opens.append(1)
        if len(opens) < 3:
            raise ConfigError("the password cannot be read")
        return Faulty()

    async def main() -> None:
        async with desk_of(store, odd=opener) as desk:
            desk.put(make_alert(1, sinks=("odd",)))
            while len(opens) < 3:
                assert len(opens) == 0 or desk.dispatcher.problems["odd"] == "the password cannot be read"
                desk.dispatcher.committed()
                await asyncio.sleep(0.005)
            await desk.until(lambda: "KeyError" in desk.dispatcher.problems.get("odd", ""))
            Faulty.broken = False
            desk.now_ns += 2 * NS_PER_SECOND
            desk.dispatcher.committed()
            await desk.until(lambda: desk.states() == ["sent"])

    run(main())


def test_sinks_are_changed_while_it_runs(store: Store) -> None:
    class Once(Sink):
        def __init__(self) -> None:
            self.got: list[Alert] = []
            self.closed = False

        async def send(self, alert: Alert) -> None:
            if self.closed:
                raise Temporary("closed")
            self.got.append(alert)

        async def close(self) -> None:
            self.closed = True

    async def main() -> None:
        first, second = Once(), Once()
        keep, leave = (lambda: first), (lambda: second)
        async with desk_of(store, keep=keep, leave=leave) as desk:
            desk.put(make_alert(1, sinks=("keep", "leave", "new")))
            await desk.until(lambda: desk.states().count("sent") == 2)
            third = Once()
            desk.dispatcher.use({"keep": keep, "new": lambda: third})
            await desk.until(lambda: desk.states().count("sent") == 3)
            await desk.until(lambda: second.closed)
            assert [len(sink.got) for sink in (first, second, third)] == [1, 1, 1]
            assert not first.closed
        assert first.closed
        assert third.closed

    run(main())


def test_another_site_is_asked_once_for_all_sinks_and_only_of_what_is_shared(store: Store) -> None:
    """The other site tells of every other alert."""
    asked: list[str] = []

    async def claim(alert: Alert) -> Gate | None:
        asked.append(alert.id)
        await asyncio.sleep(0.01)
        return Gate("shared", False, "told by barn", "1 min", "told by barn") if len(asked) % 2 else None

    alerts = [replace(make_alert(i, sinks=("hook", "other")), shared_ns=NS_PER_SECOND) for i in range(4)]
    alone = make_alert(9, rule="alone", sinks=("hook",))

    async def main() -> None:
        with http_receiver() as receiver, http_receiver() as other:
            async with desk_of(store, hook=webhook(receiver.port), other=webhook(other.port)) as desk:
                desk.dispatcher.claim = claim
                desk.put(*alerts, alone)
                await desk.until(lambda: desk.states() == ["sent"] * 5)
        told = [request.data["id"] for request in receiver.requests]
        assert sorted(told) == sorted([alerts[1].id, alerts[3].id, alone.id])
        assert [request.data["id"] for request in other.requests] == [alerts[1].id, alerts[3].id]
        assert asked == [alert.id for alert in alerts]

    run(main())
