"""Features whose samples wait until somebody says when to compute them.

An encoder's graph may fail or never come back, as a model may. So it is not run while a stream is read, in the midst of
what other packs need, but where the runs of its own pack are made.
"""

from collections.abc import Callable

from streamclf.features.frontend import Encode, Frontend
from streamclf.features.spec import Encoded
from streamclf.types import F32


class DeferredFrontend:
    """A `Frontend` that computes in `work` alone. make: a fresh frontend whose graph that encoder runs.

    Asleep, it counts samples and forgets them; waking, it begins anew with the next one.
    """

    def __init__(self, features: Encoded, make: Callable[[Encode], Frontend]) -> None:
        self.dims: tuple[int, ...] = (features.bands,)
        self.frame_shift = features.frame_shift
        self.frame_length = features.frame_length
        self.asleep = False
        self._make = make
        self._made: Frontend | None = None
        self._begins = 0  # index of the first sample that the frontend hears
        self._heard = 0
        self._waiting: list[F32] = []  # bound: what one pull of the stream gives; asleep, nothing waits

    @property
    def samples(self) -> int:
        """Index of the next sample expected; awake, one past the newest that was worked on."""
        if self.asleep:
            return self._heard
        return self._made.samples if self._made is not None else self._begins

    @property
    def first_valid(self) -> int:
        """Index of the oldest feature frame held."""
        return self._made.first_valid if self._made is not None else 0

    @property
    def available(self) -> int:
        """Index one past the newest feature frame held."""
        return self._made.available if self._made is not None else 0

    def push(self, samples: F32) -> None:
        """Take the next samples, (n, ) float32 in [-1, 1], any n, for the next `work`."""
        self._heard += len(samples)
        if not self.asleep:
            self._waiting.append(samples)

    def work(self, encode: Encode) -> None:
        """Compute the feature frames that the samples since the last call complete."""
        # nothing of this object is written behind a push: the thread in it may have been given up meanwhile
        waiting, self._waiting = self._waiting, []
        made = self._made
        if made is None:
            made = self._make(encode)
            made.restart(self._begins)
            self._made = made
        for samples in waiting:
            made.push(samples)

    def sleep(self) -> None:
        """Compute nothing until `wake`."""
        self.asleep = True
        self._waiting = []

    def wake(self) -> None:
        """Begin anew, with whatever encoder comes next."""
        self.asleep = False
        self._made = None
        self._begins = self._heard

    def restart(self, sample: int) -> None:
        """Forget everything; the next sample pushed has this index. The grid of feature frames stays where it is."""
        self._begins = self._heard = sample
        self._waiting = []
        if self._made is not None:
            self._made.restart(sample)

    def window(self, first_sample: int, samples: int, out: F32) -> None:
        """As of `Frontend`."""
        assert self._made is not None, "no window is ready before `work`"
        self._made.window(first_sample, samples, out)
