"""Listening in: the page plays a stream's live sound while its button is pressed in and can be seen."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from playwright.sync_api import Page, WebSocket, expect

from streamclf.serve.hub import Hub
from streamclf.types import Sound
from tests.support.browser import HubServer, OpenPage, hub_server, keep_picture
from tests.support.serving import HOP, RATE, make_hub, scores

HZ = 1000
# What goes to the loudspeaker goes to an analyser as well.
OVERHEAR = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to === this.context.destination) {
    const ear = new AnalyserNode(this.context, { fftSize: 2048, smoothingTimeConstant: 0 });
    connect.call(this, ear);
    window.overheard = ear;
  }
  return connect.call(this, to, ...rest);
};
"""
# Frequency of the strongest bin in Hz, 0 where it is quiet.
STRONGEST = """() => {
  const bins = new Float32Array(window.overheard.frequencyBinCount);
  window.overheard.getFloatFrequencyData(bins);
  const best = bins.indexOf(Math.max(...bins));
  return bins[best] > -60 ? best * window.overheard.context.sampleRate / 2048 : 0;
}"""

# What runs on the audio thread is loaded when `letGo` is called with the number of its request.
HELD_BACK = """
const load = Worklet.prototype.addModule;
const held = [];
Worklet.prototype.addModule = function (...given) {
  const loaded = new Promise((go) => held.push({ go, loaded: () => loaded })).then(() => load.apply(this, given));
  return loaded;
};
window.letGo = (number) => {
  held[number].go();
  return held[number].loaded().catch(() => undefined);
};
"""


@contextmanager
def sounding(server: HubServer) -> Iterator[None]:
    """A tone on stream `mic`, in real time."""
    over = threading.Event()

    def sound() -> None:
        began, frame = time.monotonic(), 0
        while not over.wait(0.01):
            due = int((time.monotonic() - began) * 50)
            if due > frame:
                samples = np.arange(frame * HOP, due * HOP).reshape(-1, HOP)
                tone = (12_000 * np.sin(2 * np.pi * HZ * samples / RATE)).astype(np.int16)
                server.publish([Sound("mic", frame, tone), *(scores(f) for f in range(frame, due))], time.time_ns())
                frame = due

    thread = threading.Thread(target=sound)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def overheard() -> tuple[Hub, list[tuple[str, bool]]]:
    """A hub of one stream; the list grows as that is tapped and let be."""
    asked: list[tuple[str, bool]] = []
    return make_hub(streams=("mic",), on_sound=lambda stream, wanted: asked.append((stream, wanted))), asked


def until(page: Page, asked: list[tuple[str, bool]], expected: list[tuple[str, bool]]) -> None:
    for _ in range(300):
        if asked == expected:
            return
        page.wait_for_timeout(50)
    assert asked == expected


def test_what_is_heard_is_played_while_the_button_is_pressed_in_and_seen(open_page: OpenPage) -> None:
    hub, asked = overheard()
    with hub_server(hub) as server, sounding(server):
        page = open_page("about:blank")
        page.add_init_script(OVERHEAR)
        page.goto(server.address)
        button = page.get_by_role("button", name="Listen to mic")
        expect(button).to_be_visible()
        assert asked == []
        button.click()
        expect(page.get_by_text("playing, 0.")).to_be_visible()
        page.wait_for_function(f"() => Math.abs(({STRONGEST})() - {HZ}) < 10")
        keep_picture(page, "listening")
        page.get_by_role("slider", name="Volume").fill("0")
        page.wait_for_function(f"() => ({STRONGEST})() === 0")
        page.get_by_role("button", name="Stop listening").click()
        until(page, asked, [("mic", True), ("mic", False)])
        button.click()
        until(page, asked, [("mic", True), ("mic", False), ("mic", True)])
        page.goto(f"{server.address}#streams")
        until(page, asked, [("mic", True), ("mic", False)] * 2)
        page.goto(f"{server.address}#live")
        expect(button).to_have_attribute("aria-pressed", "false")


def test_who_may_not_listen_is_told_why_and_nothing_is_asked_for(open_page: OpenPage) -> None:
    hub, asked = overheard()
    with hub_server(hub, no_audio="listening is switched off on this daemon") as server, sounding(server):
        page = open_page(server.address)
        button = page.get_by_role("button", name="Listen to mic")
        button.click()
        expect(
            page.get_by_text("This cannot be listened to: listening is switched off on this daemon.")
        ).to_be_visible()
        expect(button).to_have_attribute("aria-pressed", "false")
    assert asked == []


def test_who_stops_and_listens_again_before_it_has_begun_hears_it_once(open_page: OpenPage) -> None:
    hub = make_hub(streams=("mic",))
    with hub_server(hub) as server, sounding(server):
        page = open_page("about:blank")
        page.add_init_script(HELD_BACK)
        page.goto(server.address)
        page.wait_for_selector(".link-state[data-state=open]")
        sockets: list[WebSocket] = []
        page.on("websocket", lambda socket: sockets.append(socket))
        listen = page.get_by_role("button", name="Listen to mic")
        stop = page.get_by_role("button", name="Stop listening")
        listen.click()
        stop.click()
        listen.click()
        for number in (1, 0):  # the former one comes last
            page.evaluate("(number) => letGo(number)", number)
            expect(page.get_by_text("playing, 0.")).to_be_visible()
        page.wait_for_timeout(200)

        assert len(sockets) == 1
        assert page.locator(".toast").count() == 0
        expect(stop).to_have_attribute("aria-pressed", "true")
