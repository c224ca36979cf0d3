"""How busy this machine is, for limits of time that hold on an idle one."""

import os


def patience() -> float:
    """How much longer than on an idle machine something may take here now; 1 where nothing else wants the cores."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
