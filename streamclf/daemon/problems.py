"""What is wrong, in words, since when, and what somebody can do about it."""

import time
from collections.abc import Collection, Iterator

from streamclf import metrics
from streamclf.alerts.service import AlertService
from streamclf.daemon.selftest import SelfTest
from streamclf.engine.pace import Rung
from streamclf.protocol.status import DaemonProblem
from streamclf.serve.info import StreamInfo
from streamclf.text import some
from streamclf.types import MEANINGS, StreamState
from streamclf.writer.writer import Writer

_NAMED = 5  # streams with the same problem that are named
_BEHIND = "\nbehind"  # no stream's state, and no sentence, is called so
# states of a stream that are a problem, the worst first
_WRONG = [state for state, meaning in MEANINGS.items() if meaning.of_stream and meaning.to_do]


class PartProblems:
    """Problems that are not a stream's: of the store, the self-test, the rules, the sinks. None: no such part."""

    def __init__(self, *, writer: Writer | None, selftest: SelfTest | None, alerts: AlertService | None) -> None:
        self._writer = writer
        self._selftest = selftest
        self._alerts = alerts

    def sentences(self) -> list[str]:
        """What is wrong now."""
        return [what for what, _ in self.found()]

    def found(self) -> Iterator[tuple[str, str]]:
        """What is wrong now, and what to do about it."""
        if self._writer is not None and self._writer.problem:
            yield self._writer.problem, "make room on that disk, or see that it can be written; events wait"
        if self._selftest is not None and self._selftest.problem:
            yield self._selftest.problem, "see whether the machine keeps up and a pack is in use that knows it"
        if self._alerts is None:
            return
        if problem := self._alerts.rules.problem:
            yield problem, "mend the file, and try it with `streamclf rules check`"
        for name, reason in sorted(self._alerts.failing.items()):
            yield f"sink {name}: {reason}", "see that it can be reached; alerts wait for it, and are tried again"


class Problems:
    """All problems, and since when each state and each problem lasts."""

    def __init__(self, streams: Collection[StreamInfo], parts: PartProblems) -> None:
        self._streams = streams
        self._parts = parts
        self._since: dict[str, int] = {}  # of each state and problem that there is now (ns)

    def note(self, now_ns: int) -> None:
        """Look what there is now: what is new begins at `now_ns`, what is gone is forgotten."""
        there = [_key(info.name, info.state) for info in list(self._streams)] + self._parts.sentences()
        if rung():
            there.append(_BEHIND)
        self._since = {key: self._since.get(key, now_ns) for key in there}

    def since_ms(self, info: StreamInfo) -> int:
        """When the stream came into the state that it is in."""
        return self._since_ms(_key(info.name, info.state))

    def found(self) -> list[DaemonProblem]:
        """Streams in trouble first, those with the same one together; then the pace, then the parts."""
        found = list(self._of_streams())
        if behind := rung():
            what = f"this machine cannot keep up, and does less: rung {behind} of {max(Rung)} ({behind.name.lower()})"
            found.append(DaemonProblem(what, [], self._since_ms(_BEHIND), "give it fewer streams, or a lighter model"))
        return found + [DaemonProblem(what, [], self._since_ms(what), to_do) for what, to_do in self._parts.found()]

    def _of_streams(self) -> Iterator[DaemonProblem]:
        alike: dict[tuple[StreamState, str], list[str]] = {}
        for info in list(self._streams):
            if info.state in _WRONG:
                alike.setdefault((info.state, info.detail), []).append(info.name)
        for (state, detail), names in sorted(alike.items(), key=lambda item: _WRONG.index(item[0][0])):
            what = f"{some(names, _NAMED)} {'is' if len(names) == 1 else 'are'} {state.meaning.words}"
            since_ms = min(self._since_ms(_key(name, state)) for name in names)
            yield DaemonProblem(f"{what}: {detail}" if detail else what, names, since_ms, state.meaning.to_do)

    def _since_ms(self, key: str) -> int:
        return self._since.get(key, time.time_ns()) // 1_000_000


def rung() -> Rung:
    """Of the ladder on which a daemon that cannot keep up does less."""
    return Rung(int(sum(metrics.sums(metrics.LADDER).values())))


def _key(stream: str, state: str) -> str:
    return f"{stream}\n{state}"
