"""The Now view: what is heard stands there at once, calm, and only as text."""

import time
from typing import Any

import numpy as np
from playwright.sync_api import expect

from streamclf.clock import StreamClock
from streamclf.serve.hub import Hub
from streamclf.types import Event, FrameScores, Label, Stage, Status, StreamState
from tests.conftest import StartDaemon
from tests.support.browser import HubServer, OpenPage, hub_server, keep_figures, keep_picture
from tests.support.serving import EPOCH_NS, HOP, RATE, pack_info, stream_info

MARKUP = "<img src=x onerror=\"document.title='broken'\"><b>bold</b>"
LABELS = (Label("speech", "Speech"), Label("dog", MARKUP), Label("inside", "Inside", hidden=True))
# each name that begins to stand in the list, and when (ms since 1970)
WATCH = """
window.begun = [];
addEventListener("DOMContentLoaded", () => {
  new MutationObserver(() => {
    for (const name of document.querySelectorAll(".now-name"))
      if (name.textContent && name.textContent !== name.before) {
        name.before = name.textContent;
        begun.push([name.textContent, Date.now()]);
      }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
});
"""


def hub(stream: str = "mic") -> Hub:
    info = stream_info(stream)
    info.clock = StreamClock(RATE)
    info.clock.start(first_sample=0, wall_ns=time.time_ns())  # what is long past is not told to a screen reader
    info.packs = ["big"]
    return Hub(streams=[info], packs=[pack_info("big", LABELS)], instance="here")


def rows(first: int, values: list[float], *, count: int = 20, stream: str = "mic") -> FrameScores:
    data = np.tile(np.array(values, dtype=np.float32), (count, 1))
    return FrameScores(stream, "big", first, data, True, (first + count) * HOP)


def event(name: str, label: str, stage: Stage, *, stream: str = "mic") -> Event:
    return Event(stream, "big", name, label, stage, 10, 40 if stage is Stage.CLOSE else None, 0.9, 0.7, 40)


def publish(server: HubServer, *outputs: Any) -> None:
    server.publish(list(outputs), EPOCH_NS)


def test_the_right_label_stands_there_after_each_onset(daemon: StartDaemon, open_page: OpenPage) -> None:
    running = daemon("--source", "demo#store=yes", "--model", "default")
    page = open_page("about:blank")
    page.add_init_script(WATCH)
    page.goto(f"http://127.0.0.1:{running.port}/#now")
    late_ms = []
    for number in range(2):
        page.wait_for_function("n => begun.filter(([name]) => name === 'Bird').length > n", arg=number, timeout=40_000)
        begun = [at for name, at in page.evaluate("begun") if name == "Bird"]
        # the store has an event a moment after it was told
        for _ in range(300):
            events = running.get_json("/v1/events?labels=bird&limit=1000")["events"]
            if any(at > e["onset_ns"] / 1e6 for at in begun for e in events):
                break
            page.wait_for_timeout(50)
        late_ms.append(min(at - e["onset_ns"] / 1e6 for at in begun for e in events if at > e["onset_ns"] / 1e6))
    keep_picture(page, "now")
    keep_figures("now", label_after_onset_ms=round(min(late_ms)))


def test_hostile_names_are_text_and_hidden_labels_never_shown(open_page: OpenPage) -> None:
    with hub_server(hub(f"mic{MARKUP}")) as server:
        page = open_page(server.address + "#now")
        page.wait_for_selector(".now-quiet")
        name = f"mic{MARKUP}"
        # its clock begins now, however long the page took
        server.hub.streams[name].clock = StreamClock(RATE)
        server.hub.streams[name].clock.start(first_sample=0, wall_ns=time.time_ns())
        publish(server, rows(0, [0.4, 0.9, 0.99], stream=name), event("e1", "dog", Stage.OPEN, stream=name))
        publish(server, event("e2", "inside", Stage.OPEN, stream=name))
        expect(page.locator(".now-name")).to_have_text([MARKUP])
        expect(page.locator(".now-nearly")).to_have_text("Faintly: Speech")
        expect(page.locator(".now [aria-live=polite]")).to_have_text(MARKUP)
        assert page.locator("main img, main b").count() == 0
        assert "broken" not in page.title()


def test_a_class_stands_as_long_as_its_event_and_then_it_is_quiet(open_page: OpenPage) -> None:
    with hub_server(hub()) as server:
        page = open_page(server.address + "#now")
        page.wait_for_selector(".now-quiet:visible")
        # a row far below its threshold does not end what the daemon still holds open
        publish(server, rows(0, [0.95, 0, 0]), event("e1", "speech", Stage.OPEN), rows(20, [0.05, 0, 0]))
        page.wait_for_selector(".now-name:has-text('Speech')")
        page.wait_for_timeout(2_000)  # longer than a short event is held on the page
        still = page.locator("li:not(.now-ending) .now-name").all_text_contents()
        publish(server, event("e1", "speech", Stage.CLOSE))
        page.wait_for_selector(".now-quiet:visible")

        assert still == ["Speech"]
        expect(page.locator(".now-name")).to_have_count(0)


def test_several_streams_stand_side_by_side_and_one_can_be_chosen(open_page: OpenPage) -> None:
    streams = [stream_info(name) for name in ("garden", "attic")]
    for info in streams:
        info.packs = ["big"]
    with hub_server(Hub(streams=streams, packs=[pack_info("big", LABELS)])) as server:
        page = open_page(server.address + "#now")
        publish(server, event("e1", "speech", Stage.OPEN, stream="attic"))
        page.wait_for_selector("article[aria-label=attic] .now-name:has-text('Speech')")
        both = page.locator(".now-stream").all_text_contents()
        page.get_by_label("Stream", exact=True).select_option("attic")
        page.wait_for_selector("article[aria-label=garden]", state="detached")

        assert both == ["garden", "attic"]
        expect(page.locator(".now-stream")).to_have_text(["attic"])
        expect(page.locator(".now-name")).to_have_text(["Speech"])


def test_what_is_not_listened_to_is_not_shown_as_heard(open_page: OpenPage) -> None:
    with hub_server(hub()) as server:
        page = open_page(server.address + "#now")
        page.wait_for_selector(".now-quiet:visible")
        publish(server, Status("mic", StreamState.DEMO, "a recording"), event("e1", "speech", Stage.OPEN))
        page.wait_for_selector(".now-card:not(.now-stale) .now-name")
        expect(page.locator(".now-state")).to_have_text("")
        publish(server, Status("mic", StreamState.PAUSED, "no time"))
        page.wait_for_selector(".now-card.now-stale .now-name")
        expect(page.locator(".now-state")).to_have_text("paused: no time")
        publish(server, event("e1", "speech", Stage.CLOSE))
        page.wait_for_selector(".now-name", state="detached")

        assert not page.locator(".now-quiet").is_visible()


def test_the_self_test_takes_no_room_from_what_is_real(open_page: OpenPage) -> None:
    known = stream_info("self-test")
    known.packs = ["big"]
    known.test = True
    made = Hub(streams=[hub().streams["mic"], known], packs=[pack_info("big", LABELS)], instance="here")
    with hub_server(made) as server:
        page = open_page(server.address + "#now")
        expect(page.locator('.link-state[data-state="open"]')).to_be_visible()
        publish(server, event("a", "speech", Stage.OPEN, stream="self-test"), event("b", "speech", Stage.OPEN))
        expect(page.locator(".view-now .now-name")).to_have_text(["Speech"])
        expect(page.locator(".view-now .now-card")).to_have_count(1)
        page.locator(".head select").select_option("self-test")
        expect(page.locator(".view-now .now-card")).to_have_count(1)
        expect(page.locator(".view-now .now-stream")).to_have_text("self-test")
