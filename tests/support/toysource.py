"""A kind of source from outside the package, as somebody would write one: bursts of noise. `python -m` is the program.

`bursts:3#loud=0.6` is three seconds, the second half of each loud.
"""

import time

import numpy as np

from streamclf.audio.sources import Option, SourceKind, SourceSpec, register
from streamclf.audio.sources.base import Feeder, Intake
from streamclf.audio.sources.kind import whole
from streamclf.cli import main
from streamclf.types import StreamState

RATE = 16_000


class BurstSource(Feeder):
    def __init__(self, spec: SourceSpec, *, fast: bool = False) -> None:
        super().__init__(spec, fast=fast)
        self.count = int(spec.argument)
        self.loud = float(spec.options.get("loud", 0.3))

    def open(self) -> None:
        self.rate = RATE
        self.channels = 1
        self.description = f"{self.count} bursts of noise"

    def _feed(self, intake: Intake) -> str:
        intake.begin(time.time_ns())
        intake.notify(StreamState.LIVE, self.description)
        rng = np.random.default_rng(0)
        for _ in range(self.count):
            self._give(intake, rng.normal(0, 0.002, RATE // 2).astype(np.float32))
            self._give(intake, rng.uniform(-self.loud, self.loud, RATE // 2).astype(np.float32))
        self._give(intake, np.zeros(RATE, dtype=np.float32))
        return "all bursts were given"


KIND = SourceKind(
    name="bursts",
    usage="bursts:COUNT",
    summary="seconds of noise, half of each loud",
    example="bursts:3",
    make=BurstSource,
    argument=lambda text: str(whole("count of bursts", text, 1, 60)),
    default_name=lambda count: f"bursts of {count}",
    channels=False,
    options=(Option("loud", float, "how loud, from 0 to 1"),),
    recorded=True,
)

if __name__ == "__main__":
    register(KIND)
    main()
