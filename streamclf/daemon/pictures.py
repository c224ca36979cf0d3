"""Pictures of alerts: the seconds around an event, out of what the hub holds.

What is shown is taken on the event loop's thread, some milliseconds' work. It is put together and drawn in a thread of
its own, one picture after the other, so that neither the rows nor the sockets wait for it.
"""

import asyncio
import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks.picture import check_pillow
from streamclf.client.streamhistory import StreamHistory
from streamclf.clock import FRAMES_PER_SECOND, NS_PER_SECOND
from streamclf.draw.passage import Key, Passage
from streamclf.errors import StreamclfError
from streamclf.protocol.spectrum import decode
from streamclf.serve.hub import Hub
from streamclf.store.events import StoredEvent

SIZE = (960, 540)
_BEFORE, _BEHIND = 5 * FRAMES_PER_SECOND, 2 * FRAMES_PER_SECOND  # shown around the event
_MOST = 120 * FRAMES_PER_SECOND
_LANES = 4


class Painter:
    """Draws the alerts of one hub. It is a part, too: its thread ends with the daemon."""

    name = "the painter"
    stop_s = 0.1

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")

    def prepare(self) -> None:
        """Load what draws, in its thread. Raises `ConfigError` where the package for it is absent."""
        check_pillow()
        self._pool.submit(_load)

    async def start(self) -> None:
        """Its thread begins with the first picture."""

    async def stop(self, limit_s: float) -> bool:
        """Give up what waits to be drawn; a picture that is being drawn is soon done."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        return True

    async def __call__(self, alert: Alert) -> bytes:
        """The PNG; called on the event loop's thread. Raises `StreamclfError` that says why there can be none."""
        await asyncio.sleep(0)  # rows that came while the loop stood still are taken first
        passage = around(self._hub, alert.event)
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: _png(passage()))


def around(hub: Hub, event: StoredEvent) -> Callable[[], Passage]:
    """Takes the seconds around `event` out of the hub; what is returned puts them together, on any thread.

    The event's own class is the first lane. Raises `StreamclfError` where its rows are no longer held.
    """
    stream = hub.streams.get(event.stream)
    if stream is None or not event.id.startswith(f"{hub.instance}/"):
        raise StreamclfError("the event is of an earlier run of the daemon, which took its rows along")
    first = max(0, event.onset_frame - _BEFORE)
    last = first + _MOST if event.offset_frame is None else min(event.offset_frame + _BEHIND, first + _MOST)
    packs = {name: hub.packs[name].entry() for name in stream.packs}
    heard = StreamHistory(stream.entry(), packs)
    for track in sorted(hub.tracks.values(), key=lambda track: track.final):
        if track.stream == event.stream:
            labels = [label.id for label in hub.packs[track.pack].labels]
            for frame, rows in track.rows_between(first, last):
                heard.rows(track.pack, labels, frame, rows)
    if heard.first_frame is None or heard.end_frame <= event.onset_frame:
        raise StreamclfError("the rows around its event are no longer held")
    for item in hub.items.after(0):
        heard.message(item.message)
    first, last = max(first, heard.first_frame), min(last, heard.end_frame)
    own: Key = (event.pack, event.label)
    columns = hub.picture(event.stream, first)

    def passage() -> Passage:
        keys = [own, *(key for key in heard.likely(first, last, most=_LANES + 1) if key != own)][:_LANES]
        return heard.passage(keys, list(decode(columns)), first, last)

    return passage


def _load() -> None:
    importlib.import_module("streamclf.draw.snapshot")


def _png(passage: Passage) -> bytes:
    # here, and not above: the package comes with an extra, and a daemon without pictures needs none of it
    from streamclf.draw import canvas
    from streamclf.draw.palette import THEMES
    from streamclf.draw.snapshot import draw

    zone = datetime.fromtimestamp(passage.ns_of(passage.end_frame) // NS_PER_SECOND).astimezone().tzinfo
    assert zone is not None
    return canvas.png(draw(passage, theme=THEMES["light"], zone=zone, size=SIZE))
