"""The live view for a while in a real browser: what a frame costs, whether messages pile up, whether memory grows.

    python tools/bench/page.py [--seconds 600] [--width 1440] [--height 1100] [--span 20]

A real daemon plays the demo recording in a loop through a pack of 31 classes that all move, so that 30 lanes and the
spectrogram scroll at 50 rows a second; headless Chromium draws them by software. Every animation frame is timed: the
page's own callback, the time from one frame to the next, and the main thread's work a frame (script, style, layout and
drawing, as the browser counts it). The queue is told by the age of a message when the page takes it, from the daemon's
`sent_ns`, and by what the daemon had to drop. Memory is the script heap after a collection, at the
start and at the end.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from streamclf.audio.sources.demo import DEMO_FILE
from tools.lab.chromium import CHROMIUM, FLAGS
from tools.lab.daemon import Daemon, free_port, start_daemon
from tools.lab.tinypack import stateful_pack

CLASSES = 31
SETTLE_S = 15
KEPT = 65536  # of each measure: 18 minutes of frames; nothing is allocated while it runs

_WATCH = """
(() => {
  const keep = KEPT;
  const ring = () => ({ count: 0, values: new Float64Array(keep) });
  const put = (ring, value) => { ring.values[ring.count++ % keep] = value; };
  const seen = { cost: ring(), delta: ring(), age: ring(), running: true };
  let last = NaN;
  const request = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (callback) => request((now) => {
    const began = performance.now();
    callback(now);
    put(seen.cost, performance.now() - began);
    if (last === last) put(seen.delta, now - last);
    last = now;
  });
  const Plain = window.WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...given) {
      super(...given);
      this.addEventListener('message', ({ data }) => {
        if (!(data instanceof ArrayBuffer)) return;
        const view = new DataView(data);
        if (view.getUint16(0) === 0x5343) put(seen.age, Date.now() - Number(view.getBigInt64(56, true)) / 1e6);
      });
    }
  };
  window.addEventListener('measured', ({ detail }) => { detail.seen = seen; });
})();
""".replace("KEPT", str(KEPT))

_TAKE = """
() => {
  const asked = { detail: {} };
  window.dispatchEvent(new CustomEvent('measured', asked));
  const { seen } = asked.detail;
  const told = {};
  for (const name of ['cost', 'delta', 'age']) {
    const { count, values } = seen[name];
    const held = values.slice(0, Math.min(count, values.length));
    const head = held.slice(0, Math.ceil(held.length / 10)).sort();
    const tail = held.slice(-Math.ceil(held.length / 10)).sort();
    held.sort();
    const at = (sorted, share) =>
      Math.round(100 * sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]) / 100;
    told[name] = { count, p50: at(held, 0.5), p95: at(held, 0.95), p99: at(held, 0.99), first: at(head, 0.5),
                   last: at(tail, 0.5) };
    seen[name].count = 0;
  }
  return told;
}
"""

_LANES = """
() => {
  const asked = new CustomEvent('live-inspect', { detail: {} });
  document.querySelector('.live-stage')?.dispatchEvent(asked);
  return asked.detail.answer?.lanes.length ?? 0;
}
"""


def heap(session: CDPSession) -> float:
    """Bytes that live in the script heap after a collection."""
    for _ in range(2):
        session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"])


def tasks(session: CDPSession) -> dict[str, float]:
    """Seconds that the page's main thread has spent, by kind."""
    return {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}


def dropped(daemon: Daemon) -> dict[str, float]:
    """What the daemon did not send: rows and columns."""
    lines = daemon.get("/metrics")[1].decode().splitlines()
    pairs = [
        line.rsplit(" ", 1) for line in lines if line.startswith(("streamclf_lagged", "streamclf_pictures_dropped"))
    ]
    return {name: float(value) for name, value in pairs if "created" not in name}


def measure(page: Page, daemon: Daemon, *, seconds: float, span_s: float) -> dict[str, Any]:
    """Watch the page for a while. Times in ms, memory in MB."""
    session = page.context.new_cdp_session(page)
    session.send(
        "Performance.enable", {"timeDomain": "threadTicks"}
    )  # processor time: whoever else is busy does not count
    deadline = time.monotonic() + 60
    while (lanes := page.evaluate(_LANES)) < CLASSES - 1:  # the page's policy forbids to wait for an expression
        if time.monotonic() > deadline:
            sys.exit(f"only {lanes} lanes came")
        page.wait_for_timeout(200)
    if span_s > 20:
        for _ in range(2):
            page.keyboard.press("-")
    page.wait_for_timeout(SETTLE_S * 1000)
    page.evaluate(_TAKE)
    before, heap_before = tasks(session), heap(session)
    page.wait_for_timeout(seconds * 1000)
    seen = page.evaluate(_TAKE)
    after, heap_after = tasks(session), heap(session)
    frames = seen["cost"]["count"]
    spent = {name: (after[name] - before[name]) * 1000 / frames for name in before if name.endswith("Duration")}
    return {
        "lanes": page.evaluate(_LANES),
        "frames_per_second": round(frames / seconds, 1),
        "callback_ms": seen["cost"],
        "between_frames_ms": seen["delta"],
        "main_thread_ms_a_frame": {name: round(value, 2) for name, value in spent.items()},
        "message_age_ms": seen["age"],
        "heap_mb": {"start": round(heap_before / 1e6, 2), "end": round(heap_after / 1e6, 2)},
        "dropped": dropped(daemon),
        "load": [round(value, 1) for value in os.getloadavg()],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=1100)
    parser.add_argument("--span", type=float, default=20, help="20, or more for 45 s across")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    pack = stateful_pack(folder / "pack", classes=CLASSES)
    port = free_port()
    env = {**os.environ, "STREAMCLF_STORE_PATH": str(folder / "store")}
    options = [f"--source=file:{DEMO_FILE}#name=birds&loop=yes", "--model", str(pack), "--quiet"]
    daemon = start_daemon(options, port=port, env=env, log=folder / "daemon")
    try:
        daemon.wait_ready()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": args.width, "height": args.height})
            page.add_init_script(_WATCH)
            began = time.monotonic()
            page.goto(f"http://127.0.0.1:{port}/")
            found = measure(page, daemon, seconds=args.seconds, span_s=args.span)
            found["lasted_s"] = round(time.monotonic() - began, 1)
            browser.close()
    finally:
        daemon.stop()
    for name, value in found.items():
        print(f"{name}: {json.dumps(value)}")


if __name__ == "__main__":
    main()
