"""Thresholds that a person sets from afar, on their way into the configuration file."""

import asyncio
import logging
from collections.abc import Callable

from streamclf.errors import ServeError, StreamclfError
from streamclf.protocol import wire
from streamclf.serve.hub import Hub
from streamclf.serve.orders import Order, Orderer, Orders

Edit = Callable[[wire.Adjust], str]
"""Writes it; returns the name of the file that holds what was, "" for none. Raises `StreamclfError`; in a thread."""

logger = logging.getLogger("streamclf.serve")


def threshold_orders(hub: Hub, edit: Edit | None) -> Orders:
    """Of a desk of its own."""
    return {wire.Adjust: Order("bad-adjust", "setting thresholds", ThresholdDesk(hub, edit).adjust)}


class ThresholdDesk:
    """Lives on the loop's thread. It answers once the file is written; the daemon takes it over as any other change.

    edit: None where the daemon reads no file that could be written.
    """

    def __init__(self, hub: Hub, edit: Edit | None) -> None:
        self._hub = hub
        self._edit = edit
        self._writing: asyncio.Task[None] | None = None

    def adjust(self, orderer: Orderer, wish: wire.Adjust) -> None:
        """Write it and answer, soon. Raises `ServeError` where it cannot be written."""
        if self._edit is None:
            raise ServeError("this daemon reads no configuration file, so none can be written; give it one by --config")
        if wish.leave > wish.enter:
            raise ServeError(f"an event would end where it begins: leave {wish.leave} is above enter {wish.enter}")
        known = (label for pack in self._hub.packs.values() for label in pack.labels)
        if not any(label.id == wish.label and label.enter is not None for label in known):
            raise ServeError(f"no pack that runs tells events of '{wish.label}'; hello names those that do")
        if self._writing is not None and not self._writing.done():
            raise ServeError("other thresholds are being written; try again in a second")
        self._writing = asyncio.get_running_loop().create_task(self._write(self._edit, orderer, wish))

    async def _write(self, edit: Edit, orderer: Orderer, wish: wire.Adjust) -> None:
        try:
            kept = await asyncio.to_thread(edit, wish)
        except StreamclfError as fault:
            orderer.control(wire.Error(code="bad-adjust", message=str(fault)))
            return
        except Exception:
            logger.exception("thresholds of %s could not be written", wish.label)
            orderer.control(wire.Error(code="bad-adjust", message="that could not be written; the log says why"))
            return
        answer = wire.Adjusted(
            label=wish.label, enter=wish.enter, leave=wish.leave, min_on_ms=wish.min_on_ms, kept=kept
        )
        orderer.control(answer)
