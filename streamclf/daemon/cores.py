"""How long this process is kept waiting for a core: whether what is late hangs, or has just no time to run."""

import os
from contextlib import suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")


class Waits:
    """Looks at all threads of this process. Linux tells it; elsewhere nothing is known."""

    def __init__(self, tasks: Path = _TASKS) -> None:
        self._tasks = tasks
        self._before: dict[str, int] = {}

    def since(self) -> float | None:
        """Seconds that they have waited for a core since the last call, added up; None where that is not known."""
        now: dict[str, int] = {}
        try:
            for task in os.listdir(self._tasks):
                with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                    # computed (ns), waited for a core (ns), how often
                    now[task] = int((self._tasks / task / "schedstat").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return None
        before, self._before = self._before, now
        if not before or not now:
            return None
        return sum(waited - before.get(task, 0) for task, waited in now.items()) / 1e9
