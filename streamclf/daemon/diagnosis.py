"""What is wrong with a daemon beside what the states of its streams and packs tell: late rows, its pace, its parts."""

import time
from collections.abc import Callable, Iterator

from streamclf import metrics
from streamclf.alerts.service import AlertService
from streamclf.audio.fitness import Finding
from streamclf.daemon.hearing import Hearing
from streamclf.daemon.microphones import Microphones
from streamclf.daemon.selftest import SelfTest
from streamclf.engine.pace import Rung
from streamclf.protocol.status import DaemonProblem, Grade
from streamclf.serve.hub import Hub
from streamclf.serve.info import StreamInfo
from streamclf.serve.problems import Problems, Seen, grade_of, named
from streamclf.text import some
from streamclf.types import StreamState
from streamclf.writer.writer import Writer

STUCK_S = 30.0
"""A run that takes too long is given up before that, and the model thread goes on."""
_MAKE_ROOM = "make room on that disk, or see that it can be written; events wait"
_SET_RIGHT = "see what did that to its files: events are kept again, and what was kept before is not shown any more"


class PartProblems:
    """Problems that are not a stream's: of the store, the self-test, the rules, the sinks. None: no such part."""

    def __init__(self, *, writer: Writer | None, selftest: SelfTest | None, alerts: AlertService | None) -> None:
        self._writer = writer
        self._selftest = selftest
        self._alerts = alerts
        self._more: list[Callable[[], Iterator[DaemonProblem]]] = []

    def also(self, found: Callable[[], Iterator[DaemonProblem]]) -> None:
        """There are more problems: those that `found` finds, on any thread."""
        self._more.append(found)

    def sentences(self) -> list[str]:
        """What is wrong now."""
        return [problem.what for problem in self.found()]

    def found(self) -> Iterator[DaemonProblem]:
        """What is wrong now. What is heard and not kept counts as not heard; alerts wait for a sink that fails."""
        if self._writer is not None and (problem := self._writer.problem):
            yield _part(problem, _SET_RIGHT if problem == self._writer.notice else _MAKE_ROOM, "down")
        if self._selftest is not None and self._selftest.problem:
            yield _part(self._selftest.problem, "see whether the machine keeps up and a pack is in use that knows it")
        for more in self._more:
            yield from more()
        if self._alerts is None:
            return
        if problem := self._alerts.rules.problem:
            yield _part(problem, "mend the file, and try it with `streamclf rules check`")
        for name, reason in sorted(self._alerts.failing.items()):
            what = f"sink {name}: {reason}"
            yield _part(what, "see that it can be reached; alerts wait for it, and are tried again")


class DaemonProblems(Problems):
    """All problems of a daemon. hearing, microphones: None where nothing is watched."""

    def __init__(
        self,
        hub: Hub,
        parts: PartProblems,
        hearing: Hearing | None = None,
        microphones: Microphones | None = None,
    ) -> None:
        super().__init__(hub)
        self.parts = parts
        self._hearing = hearing
        self._microphones = microphones
        self._progress: Callable[[], float] | None = None

    def use(self, muted_s: float) -> None:
        """After how long a microphone counts as muted from now on."""
        if self._microphones is not None:
            self._microphones.use(muted_s)

    def follow(self, progress: Callable[[], float]) -> None:
        """progress: when (`time.monotonic`, in seconds) the model thread has come on last, from now on."""
        self._progress = progress

    def state(self, info: StreamInfo) -> Seen:
        """As it was seen last from here, else as its source says."""
        seen = None if self._hearing is None else self._hearing.seen(info)
        return Seen(*seen) if seen is not None else super().state(info)

    def unready(self) -> str:
        """Streams that have not been heard and scored since the start."""
        names = [] if self._hearing is None else self._hearing.unready()
        return f"{named(names)} not heard and scored yet" if names else ""

    def stuck(self) -> str:
        """That the model thread does not go on, and nobody has given up what it is in."""
        if self._progress is None or time.monotonic() - self._progress() < STUCK_S:
            return ""
        return f"the model thread has not come on for over {STUCK_S:g} s"

    def more(self) -> Iterator[DaemonProblem]:
        """Packs, rows that come late, the pace, the parts; then advice about microphones."""
        yield from super().more()
        yield from self._late()
        yield from self._slow()
        if behind := rung():
            meaning = StreamState.BEHIND.meaning
            what = f"this machine cannot keep up, and does less: rung {behind} of {max(Rung)} ({behind.name.lower()})"
            yield _part(what, meaning.to_do, grade_of(meaning.deaf))
        yield from self.parts.found()
        for info in list(self._hub.streams.values()):
            for finding in self.findings(info):
                what = f"the microphone of {info.name}: {finding.what}"
                yield DaemonProblem(what, [info.name], 0, finding.to_do, "advice")

    def findings(self, info: StreamInfo) -> list[Finding]:
        """What is wrong with the stream's microphone; nothing where none of it is heard."""
        heard = self._microphones is not None and self.state(info).state.heard
        return self._microphones.findings(info.name) if heard and self._microphones is not None else []

    def _late(self) -> Iterator[DaemonProblem]:
        late: dict[str, list[str]] = {}
        for name, ear in [] if self._hearing is None else list(self._hearing.ears.items()):
            for pack in sorted(ear.late):
                if not self._hub.packs[pack].problem and self.state(self._hub.streams[name]).state.heard:
                    late.setdefault(pack, []).append(name)
        for pack, names in sorted(late.items()):
            what = f"pack {pack} scores {some(names, 5)} late"
            yield DaemonProblem(what, names, 0, "see whether the machine is busy; a model that hangs is told soon")

    def _slow(self) -> Iterator[DaemonProblem]:
        for name, ear in [] if self._hearing is None else list(self._hearing.ears.items()):
            if ear.slow and self.state(self._hub.streams[name]).state.heard:
                what = f"the sound of {name} comes more slowly than time goes by"
                yield DaemonProblem(what, [name], 0, "see whether its line is too thin, or its rate another than said")


def rung() -> Rung:
    """Of the ladder on which a daemon that cannot keep up does less."""
    return Rung(int(sum(metrics.sums(metrics.LADDER).values())))


def _part(what: str, to_do: str, grade: Grade = "degraded") -> DaemonProblem:
    return DaemonProblem(what, [], 0, to_do, grade)
