"""The end of the process where nothing else brings it: at once, or when the end has taken longer than it may."""

import logging
import os
import queue
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from streamclf.errors import StreamclfError, sentence

STOP_LIMIT_S = 8.0  # from the signal to the end of the process, whatever anybody does
_HELD_S = 2.0  # beyond that: who has held up the event loop for so long will not let it go


class Deadline(threading.Thread):
    """Ends the process where the end, once it has begun, takes longer than it may."""

    def __init__(self) -> None:
        super().__init__(name="the end", daemon=True)
        # bound: what signals bring; a signal may come in the middle of a put
        self._is_over: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def begin(self) -> None:
        """The end has begun. Whatever is interrupted may call it, and any thread, again and again."""
        self._is_over.put(False)

    def over(self) -> None:
        """There is nothing to wait for any more."""
        self._is_over.put(True)

    def run(self) -> None:
        """See the class."""
        if self._is_over.get():
            return
        until_s = time.monotonic() + STOP_LIMIT_S + _HELD_S
        while (left_s := until_s - time.monotonic()) > 0:
            with suppress(queue.Empty):
                if self._is_over.get(timeout=left_s):
                    return
        held = traceback.extract_stack(sys._current_frames().get(threading.main_thread().ident or 0))[-1:]
        where = f" ({Path(held[0].filename).name}, line {held[0].lineno})" if held else ""
        end_process(StreamclfError(f"what was stopping holds the event loop{where}: ended without waiting for it"))


def end_process(fault: StreamclfError | None) -> NoReturn:
    """At once, with what is to be said and the right code; no thread is waited for and nothing else is tidied up."""
    with suppress(OSError):  # there may be nobody left to tell
        if fault is not None:
            print(sentence(str(fault)), file=sys.stderr, flush=True)
        logging.shutdown()
        sys.stdout.flush()
    os._exit(fault.exit_code if fault is not None else 0)
