"""The daemon's log: our own lines, warnings of libraries, one line each, and no secret of a URL in any of them.

What a library says below a warning is left out: httpx tells the whole address of every request.
"""

import logging
import sys
from typing import Any

from streamclf.text import hide_secrets, plain

OURS = "streamclf"


class _Harmless(logging.Formatter):
    """Lines that steer no terminal. Of a library's URLs the path is hidden, too: it is the secret of many a webhook."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Not of the traceback."""
        ours = record.name.partition(".")[0] == OURS
        return plain(hide_secrets(super().formatMessage(record), paths=ours))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """The traceback, with its line breaks."""
        lines = super().formatException(ei).split("\n")
        return "\n".join(plain(hide_secrets(line, paths=False)) for line in lines)


def to_stderr(*, quiet: bool) -> None:
    """Log to standard error from now on. quiet: only warnings of ours as well."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Harmless("%(asctime)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger(OURS).setLevel(logging.WARNING if quiet else logging.INFO)
    logging.getLogger("websockets").setLevel(logging.ERROR)
