"""Problems, in words: what is wrong, since when, how much it matters, what to do about it.

One list is made here. `/healthz`, `/readyz` and `/v1/status` show it; none of them decides anything of its own.
"""

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from streamclf.protocol.status import DaemonProblem, Grade
from streamclf.serve.hub import Hub
from streamclf.serve.info import StreamInfo
from streamclf.text import some
from streamclf.types import MEANINGS, StreamState

_NAMED = 5  # streams with the same problem that are named
_WRONG = [state for state, meaning in MEANINGS.items() if meaning.of_stream and meaning.to_do]  # the worst first


class Seen(NamedTuple):
    """A stream's state and why, as it is now."""

    state: StreamState
    detail: str


class Problems:
    """What the states of streams and packs tell: all that a server knows without a daemon around it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._since: dict[str, int] = {}  # of each state and problem that there is now (ns)

    def state(self, info: StreamInfo) -> Seen:
        """The state that the stream is in."""
        return Seen(info.state, info.detail)

    def unready(self) -> str:
        """Why it does not do its work yet, "" where it does."""
        return ""

    def stuck(self) -> str:
        """Why it will not do its work again by itself, "" where it does or will."""
        return ""

    def note(self, now_ns: int) -> None:
        """Look what there is now: what is new begins at `now_ns`, what is gone is forgotten."""
        there = [_key(info.name, self.state(info).state) for info in list(self._hub.streams.values())]
        there += [problem.what for problem in self.more()]
        self._since = {key: self._since.get(key, now_ns) for key in there}

    def since_ms(self, info: StreamInfo) -> int:
        """When the stream came into the state that it is in."""
        return self._since_ms(_key(info.name, self.state(info).state))

    def found(self) -> list[DaemonProblem]:
        """Streams in trouble first, those with the same one together; then packs, then the rest."""
        rest = list(self.more())
        for problem in rest:
            problem.since_ms = self._since_ms(problem.what)
        return [*self._of_streams(), *rest]

    def more(self) -> Iterator[DaemonProblem]:
        """Problems that no stream's state tells; `found` knows since when."""
        wrong = StreamState.PACK_PROBLEM.meaning
        for pack in list(self._hub.packs.values()):
            if pack.problem:
                streams = [info.name for info in list(self._hub.streams.values()) if pack.name in info.packs]
                yield DaemonProblem(f"pack {pack.name}: {pack.problem}", streams, 0, wrong.to_do, grade_of(wrong.deaf))

    def _of_streams(self) -> Iterator[DaemonProblem]:
        alike: dict[Seen, list[str]] = {}
        for info in list(self._hub.streams.values()):
            seen = self.state(info)
            if seen.state in _WRONG:
                alike.setdefault(seen, []).append(info.name)
        for (state, detail), names in sorted(alike.items(), key=lambda item: _WRONG.index(item[0].state)):
            what = f"{named(names)} {state.meaning.words}"
            since_ms = min(self._since_ms(_key(name, state)) for name in names)
            yield DaemonProblem(
                f"{what}: {detail}" if detail else what, names, since_ms, state.meaning.to_do, grade_of(state.deaf)
            )

    def _since_ms(self, key: str) -> int:
        return self._since.get(key, time.time_ns()) // 1_000_000


def named(streams: Iterable[str]) -> str:
    """Streams as the subject of a sentence, with its verb."""
    names = list(streams)
    return f"{some(names, _NAMED)} {'is' if len(names) == 1 else 'are'}"


def grade_of(deaf: bool) -> Grade:
    """Of a problem that keeps a stream from being heard, or does not."""
    return "down" if deaf else "degraded"


def _key(stream: str, state: str) -> str:
    return f"{stream}\n{state}"
