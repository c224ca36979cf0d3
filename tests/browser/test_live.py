"""The live picture against a known recording: what is drawn, what is read off it, how it is moved."""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, Route
from websockets.sync.client import connect

from streamclf.features.spectrum import decibels
from streamclf.protocol.packed import BinaryScores, decode_binary
from streamclf.protocol.spectrum import decode
from streamclf.types import FrameScores, Levels, Picture
from tests.conftest import StartDaemon
from tests.support.browser import OpenPage, hub_server, keep_picture
from tests.support.recordings import tone
from tests.support.serving import make_hub, publish, scores
from tools.lab.daemon import Daemon
from tools.lab.tinypack import HOP, RATE, stateful_pack

pytestmark = pytest.mark.e2e

SECONDS = 12.0
BURSTS = [(2.0, 3.0), (5.0, 6.5), (9.5, 10.5)]
LOST = (8.0, 8.6)
BLOCK = RATE // 10
PUSHED_TIMES_FASTER = 4

INSPECT = """() => {
  const asked = new CustomEvent("live-inspect", { detail: {} });
  document.querySelector(".live-stage")?.dispatchEvent(asked);
  return asked.detail.answer ?? null;
}"""

# the rows of pixels from `top` on, `height` of them, as one number for each: [r, g, b] packed
PIXELS = """([top, height]) => {
  const canvas = document.querySelector(".live-canvas");
  const { data } = canvas.getContext("2d").getImageData(0, top, canvas.width, height);
  return [...new Uint32Array(data.buffer)].map((value) => value & 0xffffff);
}"""

COLOUR = """(name) => {
  const probe = document.querySelector(".live").appendChild(document.createElement("span"));
  probe.style.color = `var(--${name})`;
  const parts = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
  probe.remove();
  return parts[0] | (parts[1] << 8) | (parts[2] << 16);
}"""


@dataclass
class Heard:
    """What another subscriber was sent of the same stream."""

    rows: dict[int, np.ndarray] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    gaps: list[dict[str, Any]] = field(default_factory=list)

    def take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            block: BinaryScores = decode_binary(message)
            for at, row in enumerate(block.rows):
                self.rows[block.first_frame + at] = row
            return
        decoded = json.loads(message)
        if decoded["type"] == "event":
            self.events[decoded["id"]] = decoded
        elif decoded["type"] == "gap":
            self.gaps.append(decoded)


def recording() -> np.ndarray:
    """Silence, with a tone in each of BURSTS."""
    samples = np.zeros(round(SECONDS * RATE), dtype=np.float32)
    for begin, end in BURSTS:
        samples[round(begin * RATE) : round(end * RATE)] = tone(880.0, end - begin)
    return samples


def push(running: Daemon, samples: np.ndarray) -> Heard:
    """Send the recording to the stream `phone` without the samples of LOST; what came of it."""
    heard = Heard()
    with connect(f"{running.url}?encoding=u8&final=provisional", compression=None) as listener:
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                try:
                    heard.take(listener.recv(timeout=0.2))
                except TimeoutError:
                    continue

        listening = threading.Thread(target=listen)
        listening.start()
        with connect(running.url, compression=None) as sender:
            message = {"type": "push", "stream": "phone", "rate": RATE, "channels": 1, "format": "f32le"}
            sender.send(json.dumps(message))
            for first in range(0, len(samples), BLOCK):
                if not LOST[0] <= first / RATE < LOST[1]:
                    sender.send(first.to_bytes(8, "little") + samples[first : first + BLOCK].tobytes())
                time.sleep(BLOCK / RATE / PUSHED_TIMES_FASTER)  # the pace of the sender, not a wait for something
            until(lambda: len(heard.rows) >= (SECONDS - LOST[1] + LOST[0]) * 50 - 1)
        done.set()
        listening.join()
    return heard


def until(holds: Callable[[], Any], *, within_s: float = 60.0) -> Any:
    """What `holds` returns once it is true."""
    deadline = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)
    return found


def shown(page: Page, holds: Callable[[dict[str, Any]], Any] = lambda seen: True) -> dict[str, Any]:
    """What the picture shows, as soon as `holds` is true of it."""

    def look() -> dict[str, Any] | None:
        seen: dict[str, Any] | None = page.evaluate(INSPECT)
        return seen if seen is not None and holds(seen) else None

    found: dict[str, Any] = until(look)
    return found


@pytest.fixture
def played(tmp_path: Path, daemon: StartDaemon, open_page: OpenPage) -> tuple[Page, Heard, Daemon]:
    """The page, the recording pushed while it was open, and what it is to agree with."""
    running = daemon("--source", f"push:phone,{RATE}", "--model", str(stateful_pack(tmp_path / "pack")))
    page = open_page(f"http://127.0.0.1:{running.port}/")
    page.wait_for_selector('.link-state[data-state="open"]')
    heard = push(running, recording())
    newest = max(heard.rows)
    shown(page, lambda seen: seen["newest"] >= newest and (lane := lane_of(seen)) and len(lane["spans"]) == len(BURSTS))
    page.keyboard.press("+")  # so that a frame is a pixel wide
    page.keyboard.press(" ")
    shown(page, lambda seen: seen["settled"] and not seen["following"] and seen["width"] >= seen["span"])
    return page, heard, running


def values_of(page: Page) -> list[float]:
    """The values that stand beside the lanes."""
    return [float(value) for value in page.locator(".live-value").all_text_contents() if value[:1].isdecimal()]


def says(page: Page, told: object) -> bool:
    """Whether the values beside the lanes are `told`."""
    return values_of(page) == told


def is_at(frame: int, seen: dict[str, Any]) -> bool:
    """Whether the pointer is on `frame`."""
    return bool(seen["cursor"] == frame)


def lane_of(seen: dict[str, Any], label: str = "loud") -> dict[str, Any] | None:
    return next((lane for lane in seen["lanes"] if lane["id"] == label), None)


def off(seen: dict[str, Any], found: np.ndarray, ticks: np.ndarray, expected: Any) -> float:
    """By how many frames an end of a run in `found` lies away from where it is expected, at most.

    found, ticks: (pixels, ) bool along the time axis. A tick's hairline hides the pixel below it: inside of a run it
    does not part it, and at an end of one it may be either.
    """
    whole = found.copy()
    whole[1:-1] |= found[:-2] & found[2:]
    wider = whole.copy()
    wider[1:-1] |= ticks[1:-1] & (whole[:-2] | whole[2:])
    without, beyond = (np.abs(np.subtract(frames_of(seen, runs), expected)) for runs in (whole, wider))
    return float(np.minimum(without, beyond).max())


def frames_of(seen: dict[str, Any], columns: np.ndarray) -> list[tuple[float, float]]:
    """Runs of true columns as [first frame, end frame) on the sample clock."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], columns.astype(np.int8), [0]])))
    scale = seen["width"] / seen["span"]
    return [((seen["left"] + a) / scale, (seen["left"] + b) / scale) for a, b in edges.reshape(-1, 2)]


def rows_of_pixels(page: Page, seen: dict[str, Any], top: float, height: float) -> np.ndarray:
    ratio = seen["ratio"]
    rows = [round(top * ratio), round(height * ratio)]
    return np.array(page.evaluate(PIXELS, rows), dtype=np.uint32).reshape(rows[1], seen["width"])


def test_lanes_events_and_the_gap_lie_where_the_recording_says(played: tuple[Page, Heard, Daemon]) -> None:
    page, heard, _ = played
    seen = shown(page, lambda now: now["settled"] and len(now["gaps"]) == 1)
    lane = lane_of(seen)
    assert lane is not None
    (gap,) = seen["gaps"]
    start = gap["from"] - LOST[0] * 50  # the frame of the recording's first sample
    keep_picture(page, "live")

    # in data: the recording, and what another subscriber was told
    spans = [(span["onset"], span["offset"]) for span in lane["spans"]]
    told = sorted(
        (event["onset_frame"], event["offset_frame"]) for event in heard.events.values() if event["label"] == "loud"
    )
    assert spans == told
    assert np.array(spans) == pytest.approx(start + np.array(BURSTS) * 50, abs=1)
    (lost,) = heard.gaps
    assert (gap["from"], gap["to"]) == (lost["first_sample"] // HOP, lost["last_sample"] // HOP + 1)
    assert gap["to"] - gap["from"] == pytest.approx((LOST[1] - LOST[0]) * 50, abs=1)

    # in pixels: the foot of the lane in its colour where an event lasts, hatching across everything in the gap
    layout = seen["layout"]
    frame = 1.001
    foot = layout["axis"] + layout["spectrum"] + layout["level"] + layout["lane"] - 1
    at = seen["lanes"].index(lane)
    red, green, blue = (int(part) for part in re.findall(r"\d+", lane["colour"]))
    bar = rows_of_pixels(page, seen, foot + at * layout["lane"], 1)[0] == (red | green << 8 | blue << 16)
    ticks = rows_of_pixels(page, seen, 0, 1)[0] != page.evaluate(COLOUR, "live-ground")
    assert 0 < ticks.sum() < 40, "above everything there are the ticks alone"
    assert off(seen, bar, ticks, spans) <= frame
    sound = rows_of_pixels(page, seen, layout["axis"] + layout["spectrum"] / 2, 16)
    lanes = rows_of_pixels(page, seen, foot - layout["lane"] / 2, layout["lane"] * (len(seen["lanes"]) - 1))
    strokes, ground = (page.evaluate(COLOUR, name) for name in ("text-faint", "live-ground"))
    for picture in (sound, lanes):
        hatched = ((picture == strokes) | (picture == ground)).all(axis=0) & (picture == strokes).any(axis=0)
        assert off(seen, hatched, ticks, [(gap["from"], gap["to"])]) <= frame


def test_values_under_the_pointer_are_the_rows_and_columns_that_were_sent(
    played: tuple[Page, Heard, Daemon],
) -> None:
    page, heard, running = played
    seen = shown(page)
    status, body = running.get("/v1/picture?stream=phone")
    assert status == 200
    levels = {part.first_frame + at: part.values[at] for part in decode(body) for at in range(len(part.values))}
    box = page.locator(".live-canvas").bounding_box()
    assert box is not None
    scale = seen["width"] / seen["span"]
    for frame in sorted(heard.rows)[130::97]:
        x = (np.ceil(frame * scale - 1e-6) + 0.5 - seen["left"]) / seen["ratio"]
        page.mouse.move(box["x"] + x, box["y"] + 150)  # below the button that lies on the picture
        assert shown(page, partial(is_at, frame))["cursor"] == frame
        rms, peak = (f"{decibels(levels[frame][at : at + 1])[0]:.1f}" for at in (0, 1))
        page.wait_for_selector(f'.live-said:text("{rms} dBFS, peak {peak}")')
        ids = [lane["id"] for lane in seen["lanes"]]
        expected = [heard.rows[frame][["loud", "c1", "c2"].index(label)] for label in ids]
        # two decimals of a byte, whose highest value stands for itself and the one below
        told = pytest.approx(expected, abs=0.0095)
        until(partial(says, page, told))
    (gap,) = seen["gaps"]
    page.mouse.move(box["x"] + (gap["from"] + 3) * scale - seen["left"], box["y"] + 150)
    page.wait_for_selector('.live-said:text("gap: push-gap")')


def test_the_picture_is_scrolled_zoomed_and_asked(played: tuple[Page, Heard, Daemon]) -> None:
    page, _, _ = played
    page.keyboard.press("+")
    page.keyboard.press("+")
    seen = shown(page, lambda now: now["span"] == pytest.approx(1000 / 1.5**3, abs=2))
    page.keyboard.press("ArrowLeft")
    moved = shown(page, lambda now: now["right"] < seen["right"])
    assert seen["right"] - moved["right"] == pytest.approx(0.2 * seen["span"], abs=1)

    box = page.locator(".live-canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + 60
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 20, y)
    page.mouse.move(x - 40, y)
    page.mouse.up()
    dragged = shown(page, lambda now: now["right"] > moved["right"])
    assert (dragged["right"] - moved["right"]) * seen["width"] / seen["span"] == pytest.approx(
        40 * seen["ratio"], abs=2
    )
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    near = shown(page, lambda now: now["span"] < seen["span"])

    # a click beside an event holds the instant and offers to ask, a click on one leads to it
    page.mouse.click(x, y)
    held = shown(page, lambda now: now["cursor"] is not None)["cursor"]
    page.keyboard.press(",")
    assert shown(page, lambda now: now["cursor"] == held - 1)
    page.get_by_role("button", name="Why did nothing fire here?").click()
    page.wait_for_url("**/#why/phone%40*")
    page.go_back()
    page.wait_for_selector(".live-canvas")
    near = shown(page)
    box = page.locator(".live-canvas").bounding_box()
    lane, layout = lane_of(near), near["layout"]
    assert box is not None
    assert lane is not None
    span = next(span for span in lane["spans"] if near["leftFrame"] < span["offset"] and span["onset"] < near["right"])
    middle = (max(span["onset"], near["leftFrame"]) + min(span["offset"], near["right"])) / 2
    column = middle * near["width"] / near["span"] - near["left"]
    row = near["lanes"].index(lane) + 0.5
    top = layout["axis"] + layout["spectrum"] + layout["level"]
    page.mouse.click(box["x"] + column / near["ratio"], box["y"] + top + row * layout["lane"])
    page.wait_for_url("**/#why/phone*loud*")
    page.go_back()
    page.wait_for_selector(".live-canvas")

    page.keyboard.press("End")
    assert shown(page, lambda now: now["following"])


def test_streams_beside_each_other_and_still_pictures(open_page: OpenPage) -> None:
    hub = make_hub()

    def send(rows: list[FrameScores]) -> None:
        # the page asks for less where rows come late
        publish(hub, *rows, sent_ns=time.time_ns())

    with hub_server(hub) as server:
        page = open_page(server.address, reduced_motion="reduce")
        page.wait_for_selector('.link-state[data-state="open"]')
        for frame in range(0, 400, 5):
            rows = [
                scores(frame + at, [0.1, 0.9, 0.3, 0.9], stream=name) for at in range(5) for name in ("mic", "yard")
            ]
            server.call(partial(send, rows))
        seen = shown(page, lambda now: now["newest"] == 399 and len(now["lanes"]) >= 2)
        assert seen["stream"] == "mic"
        # hidden classes have no lane; a picture that must not move goes on by seconds
        assert [lane["id"] for lane in seen["lanes"]] == ["dog", "bird"]
        assert shown(page, lambda now: now["right"] > 0)["right"] % 50 == 0
        page.get_by_role("button", name="Show yard large").click()
        assert shown(page, lambda now: now["stream"] == "yard")
        page.get_by_role("button", name="Show mic large").wait_for()
        text = page.locator(".live-canvas").get_attribute("aria-label")
        keep_picture(page, "live-streams")
    assert text is not None


def test_old_columns_of_every_stream_are_fetched_though_new_ones_come_meanwhile(open_page: OpenPage) -> None:
    hub = make_hub()
    with hub_server(hub) as server:

        def draw(stream: str, frame: int) -> None:
            loud = np.full(5, 0.5, np.float32)
            picture = Picture(Levels(stream, frame, loud, loud), np.full((5, 8), 7, np.uint8), 8000.0)
            server.call(lambda: publish(hub, picture, sent_ns=time.time_ns()))

        for frame in range(0, 100, 5):
            draw("mic", frame)
            draw("yard", frame)
        page = open_page("about:blank")
        held: list[Route] = []
        page.route("**/v1/picture?stream=mic*", lambda route: held.append(route))
        page.goto(server.address)
        page.get_by_role("button", name="Show yard large").click()
        frames = iter(range(100, 4000, 5))

        def came() -> bool:
            draw("yard", next(frames))
            page.wait_for_timeout(20)
            return bool(held) and shown(page)["newest"] >= 100

        until(came)
        held[0].continue_()
        shown(page, lambda seen: seen["held"]["oldest"] == 0)
