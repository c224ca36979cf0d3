"""The connection: it comes back by itself with what was missed, and says that it was away."""

import time

from streamclf.types import Output, Stage
from tests.browser.test_now import event, hub, rows
from tests.conftest import StartDaemon
from tests.support.browser import HubServer, OpenPage, hub_server
from tests.support.serving import EPOCH_NS


def meanwhile(server: HubServer, *outputs: Output) -> None:
    """Published while nobody can listen."""
    server.call(lambda: server.hub.publish(outputs, decided_ns=EPOCH_NS, sent_ns=time.time_ns()))


def test_after_an_absence_the_events_of_that_time_are_there(open_page: OpenPage) -> None:
    with hub_server(hub()) as server:
        page = open_page(server.address + "#now")
        page.wait_for_selector(".link-state[data-state=open]")
        server.publish([rows(0, [0.9, 0, 0]), event("e1", "speech", Stage.OPEN)], EPOCH_NS)
        page.wait_for_selector(".now-name:has-text('Speech')")

        server.stop()
        page.wait_for_selector(".link-state[data-state=away]")
        page.wait_for_timeout(2_100)  # shorter absences are not told
        said = page.locator(".link-state").inner_text()
        page.wait_for_selector(".now-state:has-text('not connected')")
        then = page.locator(".now-state").inner_text()
        meanwhile(server, rows(20, [0.9, 0, 0]), event("e1", "speech", Stage.CLOSE), event("e2", "dog", Stage.OPEN))
        server.start()
        page.wait_for_selector(".link-state[data-state=open]")
        page.wait_for_selector(".toasts :text('has been fetched')")  # at once, as it goes by itself
        page.wait_for_selector(".now-name:has-text('Speech')", state="detached")
        page.wait_for_selector(".now-name:has-text('bold')")
        heard = page.locator(".now-name").all_text_contents()

        assert said.startswith("not connected for")
        assert then == "not connected: nothing new comes"
        assert len(heard) == 1


def test_another_start_of_the_daemon_is_told_and_its_events_are_there(open_page: OpenPage) -> None:
    with hub_server(hub()) as server:
        page = open_page(server.address + "#now")
        page.wait_for_selector(".link-state[data-state=open]")
        server.publish([rows(0, [0.9, 0, 0]), event("e1", "speech", Stage.OPEN)], EPOCH_NS)
        page.wait_for_selector(".now-name:has-text('Speech')")

        server.stop()
        page.wait_for_selector(".link-state[data-state=away]")
        page.wait_for_timeout(2_100)
        server.hub = hub()
        server.hub.instance = "another"
        meanwhile(server, rows(0, [0, 0.9, 0]), event("f1", "dog", Stage.OPEN))
        server.start()
        page.wait_for_selector(".toasts :text('started anew')")
        page.wait_for_selector(".now-name:has-text('bold')")

        assert page.locator(".now-name").count() == 1


def test_a_restart_of_the_daemon_loses_no_event(daemon: StartDaemon, open_page: OpenPage) -> None:
    first = daemon("--source", "demo#store=yes", "--model", "default")
    page = open_page(f"http://127.0.0.1:{first.port}/#now")
    page.wait_for_selector(".now-name", timeout=30_000)
    store = {"STREAMCLF_STORE_PATH": str(first.log.parent / "store-0")}
    first.stop()
    page.wait_for_selector(".link-state[data-state=away]")
    second = daemon("--source", "demo#store=yes", "--model", "default", port=first.port, env=store)
    page.wait_for_selector(".link-state[data-state=open]")
    page.wait_for_selector(".now-name", timeout=30_000)
    page.goto(f"http://127.0.0.1:{first.port}/#events")

    # the store has an event a moment after it was told
    for _ in range(300):
        kept = second.get_json("/v1/events?limit=1000")["events"]
        if len({event["id"].partition("/")[0] for event in kept}) == 2:
            break
        page.wait_for_timeout(50)
    assert len({event["id"].partition("/")[0] for event in kept}) == 2
    # only rows in sight are in the document, and each says how many there are
    page.wait_for_function("n => document.querySelector('li.event')?.ariaSetSize >= n", arg=len(kept))
