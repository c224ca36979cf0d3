"""Events, why and rules in the page: what a person sees there is what the store, the files and the commands say."""

import csv
import math
import re
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from streamclf.clock import NS_PER_FRAME, NS_PER_SECOND
from streamclf.store.database import Store, reader
from streamclf.store.events import StoredEvent, find, put_events, query
from tests.conftest import StartDaemon
from tests.support.browser import OpenPage, keep_figures, keep_picture
from tests.support.storing import stored
from tools.lab.daemon import Daemon, free_port, run_cli
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

HOUR_NS = 3600 * NS_PER_SECOND
HOSTILE = "<img src=x onerror=window.hacked=1>"


def bursts(path: Path, onsets_s: list[float], *, seconds: float) -> Path:
    """Silence with 0.6 s of a loud tone at known times."""
    samples = np.zeros(int(seconds * RATE), dtype=np.float32)
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(int(0.6 * RATE)) / RATE)
    for onset_s in onsets_s:
        at = int(onset_s * RATE)
        samples[at : at + len(tone)] = tone
    soundfile.write(path, samples, RATE)
    return path


def fill(folder: Path, events: list[StoredEvent]) -> None:
    store = Store.open(folder)
    with store.transaction() as tx:
        put_events(tx, events)
    store.close()


def past(count: int, *, over_ns: int = HOUR_NS, until_ns: int, **changes: Any) -> list[StoredEvent]:
    """Events spread evenly over a stretch of time, by turns of three labels and two streams."""
    events = []
    for number in range(count):
        onset_ns = until_ns - over_ns + (number + 1) * (over_ns // (count + 1))
        label, stream = ("robin", "wren", "rain")[number % 3], ("garden", "roof")[number % 2]
        fields = {
            "id": f"run/{stream}/birds/{label}/{number}",
            "label": label,
            "group": "" if label == "rain" else "bird",
            "stream": stream,
            "peak": 0.5 + number % 50 / 100,
            "onset_ns": onset_ns,
            "offset_ns": onset_ns + 25 * NS_PER_FRAME,
            "decided_ns": onset_ns + 25 * NS_PER_FRAME,
        }
        events.append(stored(number, **{**fields, **changes}))
    return events


def kept(folder: Path, **wanted: Any) -> list[StoredEvent]:
    with closing(reader(folder)) as connection:
        return query(connection, **wanted)


def address(daemon: Daemon, view: str) -> str:
    return f"http://127.0.0.1:{daemon.port}/#{view}"


def rows(page: Page, name: str = "") -> Any:
    return page.locator("li.event", has_text=name)


@pytest.fixture
def quiet(tmp_path: Path, daemon: StartDaemon) -> Any:
    """Starts a daemon whose one source waits for samples: nothing happens but what a test puts into its store."""
    pack = stateful_pack(tmp_path / "pack")

    def start(*args: str, **options: Any) -> Daemon:
        return daemon("--source", f"push:mic,{RATE}", "--model", str(pack), *args, **options)

    return start


def test_an_hour_of_ten_thousand_events_is_there_at_once_and_scrolls(
    tmp_path: Path, quiet: Any, open_page: OpenPage
) -> None:
    now_ns = time.time_ns()
    # the hour ends when the page asks: none may be older by then, however long a busy machine takes to get there
    events = past(10_000, until_ns=now_ns - 10 * NS_PER_SECOND, over_ns=HOUR_NS - 180 * NS_PER_SECOND)
    fill(tmp_path / "store-0", events)
    page = open_page(address(quiet(), "streams"))
    expect(page.locator('.link-state[data-state="open"]')).to_be_visible()
    took_ms = page.evaluate(
        """async () => {
            const began = performance.now();
            location.hash = "events/span%3Dhour";
            const said = () => document.querySelector(".list-said")?.textContent ?? "";
            while (!said().startsWith("10,000")) await new Promise(requestAnimationFrame);
            return performance.now() - began;
        }"""
    )
    keep_figures("events", hour_of_10000_events_ms=round(took_ms))

    newest, oldest = events[-1], events[0]
    expect(rows(page).first).to_contain_text(newest.label)
    assert page.locator("li").count() < 120
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    last = page.locator(f'li.event[aria-posinset="{len(events)}"]')
    expect(last).to_be_in_viewport()
    assert last.locator("time").get_attribute("datetime") == iso(oldest.onset_ns)
    assert page.locator("li").count() < 120

    page.evaluate("scrollTo(0, 0)")
    page.locator(".filter").get_by_label("Stream").select_option("mic")
    expect(page.locator(".list-said")).to_contain_text("No event of this kind")
    page.goto(address_of(page, "events/" + "label=group:bird&stream=roof&span=hour&peak=0.8".replace("&", "%26")))
    page.reload()
    wanted = len(kept(tmp_path / "store-0", labels=["group:bird"], streams=["roof"], min_peak=0.8))
    assert 0 < wanted < 5000
    expect(page.locator(".list-said")).to_have_text(f"{wanted:,} events")
    expect(page.locator(".filter").get_by_label("Label")).to_have_value("group:bird")
    keep_picture(page, "events-filtered")


def test_the_day_by_the_hour_counts_what_the_store_has(tmp_path: Path, quiet: Any, open_page: OpenPage) -> None:
    yesterday = time.localtime(time.time() - 86_400)
    midnight_s = int(time.mktime((*yesterday[:3], 0, 0, 0, 0, 0, -1)))
    events = past(500, until_ns=(midnight_s + 80_000) * NS_PER_SECOND, over_ns=70_000 * NS_PER_SECOND)
    fill(tmp_path / "store-0", events)
    page = open_page(address(quiet(), "events"))
    page.get_by_label("Day before").click()
    expect(page.locator(".heat tbody tr")).to_have_count(3)

    counts = {label: [0] * 24 for label in ("robin", "wren", "rain")}
    for event in events:
        counts[event.label][time.localtime(event.onset_ns // NS_PER_SECOND).tm_hour] += 1
    for row in page.locator(".heat tbody tr").all():
        label = row.locator("th").inner_text()
        cells = [int(text or 0) for text in row.locator("td").all_inner_texts()]
        assert cells == [*counts[label], sum(counts[label])]
    keep_picture(page, "events-day")

    hour = max(range(24), key=counts["wren"].__getitem__)
    page.get_by_label(re.compile(f"of wren from {hour}:00 to")).click()
    expect(page.locator(".list-said")).to_have_text(f"{counts['wren'][hour]} events")
    assert set(rows(page).locator("b").all_inner_texts()) == {"wren"}


def test_what_is_heard_appears_plays_is_marked_and_explained(
    tmp_path: Path, daemon: StartDaemon, open_page: OpenPage
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        f'[sink.file]\ntype = "ndjson"\npath = "{tmp_path / "alerts.ndjson"}"\n'
        '[[rule]]\nname = "all-of-it"\nlabels = ["loud"]\nstage = "close"\nmin_peak = 0.7\nmin_duration_ms = 300\n'
        '[[rule]]\nname = "long-ones"\nlabels = ["loud"]\nstage = "close"\nmin_peak = 0.7\nmin_duration_ms = 5000\n'
    )
    env = {
        "STREAMCLF_STORE_PATH": str(tmp_path / "store"),
        "STREAMCLF_RULES": str(rules),
        "STREAMCLF_CLIPS_ENABLED": "true",
        "STREAMCLF_CLIPS_LABELS": "loud",
        "STREAMCLF_CLIPS_PRIVACY": "off",
        "STREAMCLF_CLIPS_PRE_MS": "5000",  # so that it still plays when a busy machine looks
        "STREAMCLF_CLIPS_POST_MS": "500",
        "STREAMCLF_SCORES_ENABLED": "true",
    }
    sound = bursts(tmp_path / "garden.wav", [6.0], seconds=9.0)
    pack = stateful_pack(tmp_path / "pack")
    running = daemon("--source", f"file:{sound}#name=garden", "--model", str(pack), env=env)
    page = open_page(address(running, "events/label%3Dloud"))

    row = rows(page, "Loud")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("garden")
    play = row.get_by_label(re.compile("Play the clip"))
    expect(play).to_be_visible()
    row.click()
    page.keyboard.press("Enter")
    clip = page.locator(".clip")
    expect(clip.get_by_label("Pause")).to_be_visible()
    place = clip.get_by_label("Place in the clip")
    expect(place).not_to_have_js_property("value", "0")
    (event,) = kept(tmp_path / "store", labels=["loud"])
    info = soundfile.info(tmp_path / "store" / "clips" / event.clip)
    assert int(clip.get_attribute("data-samples") or 0) == info.frames
    place.focus()
    place.press("Home")
    keep_picture(page, "events-clip")

    row.get_by_label(re.compile("Mark as right")).click()
    expect(row.get_by_label(re.compile("Mark as right"))).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(row.get_by_label(re.compile("Mark as right"))).to_have_attribute("aria-pressed", "true")
    row.click()
    page.keyboard.press("w")
    was = page.get_by_label("It was …")
    was.fill("Door slam")
    was.press("Enter")
    expect(was).to_have_value("door_slam")
    wait_for_mark(page, tmp_path / "store", event.id, ("wrong", "door_slam"))

    row.get_by_label(re.compile("^Why")).click()
    gates = page.locator(".why-rule", has=page.get_by_role("heading", name="long-ones")).locator("li")
    expect(gates.locator(".why-word")).to_have_text(["passed", "passed", "stopped it here"])
    said = run_cli("why", event.id, home=tmp_path, env=env)
    assert said.returncode == 0, said.stderr
    table = said.stdout.partition("rule long-ones")[2]
    found = gates.locator(".why-text").all_inner_texts()
    assert [text for text in found if text in table] == found
    assert [line for line in table.splitlines() if line.rstrip().endswith(tuple(found))] == [
        line for text in found for line in table.splitlines() if line.rstrip().endswith(text)
    ]
    expect(page.locator(".why-rule", has_text="Alerts")).to_contain_text("file")
    keep_picture(page, "why-event")

    page.get_by_role("button", name="What else was nearly heard then?").click()
    nearest = page.locator(".why-near")
    expect(nearest.locator("li", has_text="Loud")).to_contain_text("event")
    assert nearest.locator("li").count() == 3
    keep_picture(page, "why-instant")


def test_new_events_do_not_move_what_somebody_reads(tmp_path: Path, daemon: StartDaemon, open_page: OpenPage) -> None:
    fill(tmp_path / "store-0", past(300, until_ns=time.time_ns()))
    sound = bursts(tmp_path / "garden.wav", [1.0], seconds=2.0)
    pack = stateful_pack(tmp_path / "pack")
    running = daemon("--source", f"file:{sound}#loop=yes", "--model", str(pack))
    page = open_page(address(running, "events"))
    expect(rows(page, "Loud").first).to_be_visible()
    # that one may be told before the others are fetched, and the day by the hour stands above them
    expect(page.locator(".list-said")).to_contain_text(re.compile(r"3\d\d events"))
    expect(page.locator(".heat tbody tr").first).to_be_visible()
    page.evaluate("scrollTo(0, 3000)")
    read = rows(page, "robin").nth(8)
    what, where = read.locator("time").inner_text(), read.bounding_box()
    pill = page.locator(".pill")
    expect(pill).to_be_visible()
    expect(pill).to_contain_text(re.compile("[2-9] new"))
    # the day above may get a line meanwhile: the browser then keeps the place to a pixel, of which a row has 48
    assert (read.locator("time").inner_text(), read.bounding_box()) == (what, pytest.approx(where, abs=1))
    pill.click()
    expect(pill).to_be_hidden()
    expect(rows(page, "Loud").first).to_be_in_viewport()
    expect(page.get_by_role("list", name="Events", exact=True)).to_be_focused()


def test_what_was_stored_while_the_daemon_was_away_is_fetched(tmp_path: Path, quiet: Any, open_page: OpenPage) -> None:
    port = free_port()
    env = {"STREAMCLF_STORE_PATH": str(tmp_path / "store")}
    first = quiet(env=env, port=port)
    page = open_page(address(first, "events"))
    expect(page.locator(".list-said")).to_contain_text("No event")
    first.stop()
    expect(page.locator('.link-state[data-state="away"]')).to_be_visible()
    fill(tmp_path / "store", past(3, until_ns=time.time_ns()))
    quiet(env=env, port=port)
    expect(rows(page)).to_have_count(3)
    expect(page.locator(".list-said")).to_have_text("3 events")


def test_the_text_of_a_new_rule_is_one_that_the_checker_takes(tmp_path: Path, quiet: Any, open_page: OpenPage) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[sink.phone]\ntype = "ndjson"\npath = "alerts.ndjson"\n\n'
        '[[rule]]\nname = "first"\nlabels = ["loud"]\nmin_peak = 0.7\ncooldown_s = 600\n'
    )
    env = {"STREAMCLF_RULES": str(rules)}
    page = open_page(address(quiet(env=env), "rules"))
    shown = page.locator(".rule", has_text="first")
    expect(shown).to_contain_text("peak >= 0.7")
    expect(shown).to_contain_text("told in the last 10 min")
    page.get_by_label(re.compile("^Name")).fill("second rule")
    expect(page.locator(".rules-fault")).to_contain_text("letters, digits")
    page.get_by_label(re.compile("^Name")).fill("second")
    page.get_by_label(re.compile("^Labels")).fill("group:random, loud")
    page.get_by_label("Strength at least").fill("0.65")
    page.get_by_label("Lasts at least").fill("1.5")
    page.get_by_label("From (time of day)").fill("21:00")
    page.get_by_label("To", exact=True).fill("05:30")
    page.get_by_label("Then silent for").fill("10")
    page.get_by_label("phone").check()
    page.get_by_label(re.compile("time zone")).check()
    keep_picture(page, "rules")
    text = page.get_by_label("Text of the rule").inner_text()
    rules.write_text(f"{rules.read_text()}\n{text}")
    pack = str(tmp_path / "pack")
    checked = run_cli("rules", "check", home=tmp_path, env={**env, "STREAMCLF_MODEL": pack})
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "2 rules" in checked.stdout
    in_words = run_cli("rules", "show", home=tmp_path, env={**env, "STREAMCLF_MODEL": pack}).stdout
    for part in ("second", "peak >= 0.65", "lasts 1.5 s", "21:00-05:30", "10 min", "phone"):
        assert part in in_words


def test_hostile_names_are_text_in_every_view(tmp_path: Path, quiet: Any, open_page: OpenPage) -> None:
    names = {"label": HOSTILE, "stream": HOSTILE, "pack": HOSTILE}
    (event,) = past(1, over_ns=NS_PER_SECOND, until_ns=time.time_ns(), id=f"run/{HOSTILE}/1", **names)
    fill(tmp_path / "store-0", [event])
    page = open_page(address(quiet(), "events"))
    expect(rows(page).locator("b")).to_have_text(HOSTILE)
    expect(page.locator(".heat tbody th")).to_have_text(HOSTILE)
    rows(page).click()
    expect(page.locator(".detail h2")).to_have_text(HOSTILE)
    page.keyboard.press("y")
    expect(page.locator(".why-event h2")).to_contain_text(HOSTILE)
    assert page.locator("main img").count() == 0
    assert page.evaluate("window.hacked") is None


def test_where_nothing_is_kept_the_page_says_what_to_do(quiet: Any, open_page: OpenPage) -> None:
    page = open_page(address(quiet("--no-store"), "events"))
    expect(page.locator(".list-said")).to_contain_text("[store] enabled = true")
    expect(page.locator(".heat-said")).to_contain_text("none are kept")
    page.goto(address_of(page, "rules"))
    expect(page.locator(".rules-said")).to_contain_text("rules.toml")
    page.goto(address_of(page, "why/mic%401000"))
    expect(page.locator(".why-said")).not_to_have_text(re.compile("^$|Looking"))


def address_of(page: Page, view: str) -> str:
    return f"{page.url.partition('#')[0]}#{view}"


def iso(ns: int) -> str:
    """As the page writes a time that it has as a float of ms."""
    ms = math.floor(ns / 1e6)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03}Z"


def wait_for_mark(page: Page, folder: Path, event_id: str, wanted: tuple[str, str]) -> None:
    deadline = time.monotonic() + 15
    while True:
        with closing(reader(folder)) as connection:
            event = find(connection, event_id)
        if event is not None and (event.mark, event.mark_label) == wanted:
            return
        assert time.monotonic() < deadline, event
        page.wait_for_timeout(50)


def test_the_list_is_saved_as_a_table_by_keyboard_alone(tmp_path: Path, quiet: Any, open_page: OpenPage) -> None:
    fill(tmp_path / "store-0", past(6, until_ns=time.time_ns() - 10 * NS_PER_SECOND, over_ns=HOUR_NS // 2))
    page = open_page(address(quiet(), "events"))
    expect(rows(page)).to_have_count(6)
    page.get_by_role("button", name="Save as CSV").focus()
    with page.expect_download() as saved:
        page.keyboard.press("Enter")
    with saved.value.path().open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.DictReader(file))
    events = kept(tmp_path / "store-0")

    assert [row["id"] for row in table] == [event.id for event in events]
    assert [row["duration_s"] for row in table] == ["0.50"] * 6
    for row, event in zip(table, events, strict=True):
        utc = datetime.fromisoformat(row["time_utc"])
        assert abs(utc.timestamp() - event.onset_ns / NS_PER_SECOND) < 0.002
        local = datetime.fromisoformat(row["time"])  # the browser's zone is that of this machine
        assert abs(local.timestamp() - event.onset_ns / NS_PER_SECOND) < 0.02
