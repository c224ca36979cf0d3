"""This device as a microphone, with Chromium's fake capture of a known file: labels, every sample, a pulled cable."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect

from streamclf.audio.resample import Resampler
from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.types import I16
from tests.conftest import StartDaemon
from tests.support.browser import WAIT_MS, OpenPage, hub_server, keep_picture
from tests.support.hearing import Cable, Likeness, lag_of, listening
from tests.support.serving import make_hub, stream_info
from tools.lab.chromium import CHROMIUM, FLAGS

RATE = 48_000
LISTENING = {"STREAMCLF_SERVER_LISTENING": "true"}
START = "Start sending"
ATTEMPTS = 3
LAST_BITS = 2  # the browser rounds to 16 bits, and so does the file
FOREIGN = "birds.test"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, I16]:
    """20 s of birds as the browser's microphone will hear them, once; the file and its samples."""
    birds, rate = soundfile.read(DEMO_FILE, dtype="float32")
    samples = Resampler(rate, RATE).push(np.concatenate([birds, birds[::-1]]), last=True)
    file = tmp_path_factory.mktemp("played") / "birds.wav"
    soundfile.write(file, samples, RATE, subtype="PCM_16")
    return file, soundfile.read(file, dtype="int16")[0]


@pytest.fixture(scope="module")
def hearing(browser: Browser, played: tuple[Path, I16]) -> Iterator[Browser]:
    """A browser whose microphone hears the recording from its beginning each time that it is opened."""
    fakes = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={played[0]}%noloop",
        f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1",
        "--mute-audio",
    ]
    made = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, *fakes])
    yield made
    made.close()


@contextmanager
def opened(browser: Browser, address: str) -> Iterator[Page]:
    """The microphone view of the page at `address`."""
    opener = OpenPage(browser)
    try:
        yield opener(f"{address}#microphone")
    finally:
        opener.close()
    # a browser says that it leaves a header be where the page is not safe, as some tests have it
    assert [text for text in opener.complaints if "Opener-Policy" not in text] == []


def wait_until(page: Page, holds: Callable[[], bool], limit_ms: int = 2 * WAIT_MS) -> None:
    """Lets the page run until something outside it holds."""
    for _ in range(limit_ms // 50):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"it did not come true within {limit_ms} ms")


def fact(page: Page, name: str) -> str:
    """A number that the view shows."""
    return page.locator(".mic-numbers div", has_text=name).locator("dd").inner_text()


def errors_of(runs: list[tuple[int, I16]], samples: I16) -> tuple[set[int], float]:
    """Where sample 0 of the stream lies in what was played, by each run; and the largest error, in last bits."""
    places, largest, likeness = set(), 0.0, None
    for first, heard in runs:
        place = lag_of(heard, samples)
        places.add(place - first)
        # what was heard from before the file's first sample, or behind its last one, is silence
        begin, end = max(0, -place), min(len(heard), len(samples) - place)
        heard, part = heard[begin:end], samples[begin + place : end + place]
        likeness = likeness or Likeness(heard[:RATE], part[:RATE])
        largest = max(largest, float(np.abs(likeness.errors(heard, part)).max()))
    return places, largest


def test_the_label_comes_back_and_no_sample_is_lost(
    daemon: StartDaemon, hearing: Browser, played: tuple[Path, I16]
) -> None:
    running = daemon("--source", "push:phone", env=LISTENING)
    with (
        listening(running.url, "phone") as ear,
        opened(hearing, f"http://127.0.0.1:{running.port}/") as page,
    ):
        expect(page.locator(".mic-promise")).to_contain_text(f"goes to the daemon at 127.0.0.1:{running.port}")
        expect(page.locator(".mic-promise")).to_contain_text("can hear it live")
        # a browser whose own audio thread has to wait on a busy machine drops samples before anybody gets them
        for attempt in range(1, ATTEMPTS + 1):
            before = ear.seconds
            page.get_by_role("button", name=START).click()
            expect(page.get_by_role("status").filter(has_text="Sending to stream “phone”")).to_be_visible()
            expect(page.locator(".mic-heard li").filter(has_text="Bird").first).to_be_visible()
            wait_until(page, lambda before=before: ear.seconds > before + 5)  # type: ignore[misc]
            left_out = fact(page, "Left out")
            keep_picture(page, "microphone")
            page.goto(page.url.replace("#microphone", "#live"))
            sign = page.get_by_role("complementary", name="The microphone of this device is on")
            expect(sign).to_contain_text("Microphone on: sending to “phone”")
            sign.get_by_role("button", name="Stop").click()
            expect(sign).to_be_hidden()
            wait_until(page, lambda: ear.said("waiting"))
            page.goto(page.url.replace("#live", "#microphone"))
            runs = ear.runs()
            assert left_out == "nothing"
            assert len(runs) == attempt
            _, error = errors_of(runs[-1:], played[1])
            if error < LAST_BITS:
                return
    raise AssertionError(f"what the daemon heard differs by {error} from what was played")


def test_a_pulled_cable_is_a_gap_of_just_what_was_left_out(
    daemon: StartDaemon, hearing: Browser, played: tuple[Path, I16]
) -> None:
    running = daemon("--source", "push:phone", env=LISTENING)
    cable = Cable(running.port)
    try:
        with (
            listening(running.url, "phone") as ear,
            opened(hearing, f"http://127.0.0.1:{cable.port}/") as page,
        ):
            page.get_by_role("button", name=START).click()
            wait_until(page, lambda: ear.seconds > 2)
            cable.pull()
            expect(page.get_by_role("status").filter(has_text="what is said now is left out")).to_be_visible()
            wait_until(page, lambda: fact(page, "Left out") != "nothing" and ear.said("lost"))
            cable.plug()
            expect(page.get_by_role("status").filter(has_text="Sending to stream “phone”")).to_be_visible()
            before = ear.seconds
            wait_until(page, lambda: ear.seconds > before + 2)
            left_out = fact(page, "Left out")
            page.get_by_role("button", name="Stop").click()
    finally:
        cable.close()

    runs = ear.runs()
    assert len(runs) == 2
    places, _ = errors_of(runs, played[1])
    assert max(places) - min(places) < RATE / 50, "what was heard behind the gap does not stand where it was played"
    (gap,) = ear.gaps
    assert gap["reason"] == "push-gap"
    (first, before_gap), (second, _) = runs
    assert first + len(before_gap) <= gap["first_sample"] < gap["last_sample"] < second
    # besides those counted, what was on its way may be lost: until the page hears that the cable was pulled
    blocks = (gap["last_sample"] + 1 - gap["first_sample"]) / (RATE / 50)
    counted = int(left_out.split()[0].replace(",", ""))
    assert counted <= blocks


def test_without_a_stream_for_it_the_view_says_how_to_start_one(hearing: Browser) -> None:
    with hub_server(make_hub()) as server, opened(hearing, server.address) as page:
        expect(page.locator(".mic-note code")).to_have_text("streamclf run --source push:phone")
        expect(page.get_by_role("button", name=START)).to_be_hidden()


def test_over_plain_http_the_view_says_what_is_missing(hearing: Browser) -> None:
    hub = make_hub()
    hub.streams["mic"] = stream_info("mic", push=True)
    with hub_server(hub, hosts=(FOREIGN,)) as server, opened(hearing, f"http://{FOREIGN}:{server.port}/") as page:
        expect(page.locator(".mic-note")).to_contain_text("over https")
        expect(page.get_by_role("button", name=START)).to_be_hidden()


def test_a_browser_that_gives_no_microphone_and_a_daemon_that_takes_none_are_told_in_words(
    hearing: Browser, open_page: OpenPage
) -> None:
    hub = make_hub()
    hub.streams["mic"] = stream_info("mic", push=True)
    with hub_server(hub) as server:
        page = open_page(server.address + "#microphone")
        page.get_by_role("button", name=START).click()
        expect(page.get_by_role("alert").filter(has_text="start again")).to_be_visible()
        with opened(hearing, server.address) as other:
            other.get_by_role("button", name=START).click()
            # this hub says that it takes samples, and has no place for them
            expect(other.get_by_role("alert").filter(has_text="there is no push stream 'mic' here")).to_be_visible()
            expect(other.get_by_role("button", name=START)).to_be_enabled()
