"""How busy this machine is, for limits of time that hold on an idle one."""

import os
from pathlib import Path


def patience() -> float:
    """How much longer than on an idle machine something may take here now; 1 where nothing else wants the cores."""
    # the mean of a minute lags behind, what runs at this moment may be chance
    wanting = max(os.getloadavg()[0], _running())
    return max(1.0, wanting / (os.cpu_count() or 1))


def _running() -> int:
    told = Path("/proc/loadavg")
    return int(told.read_text().split()[3].partition("/")[0]) if told.exists() else 0
