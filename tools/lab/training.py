"""What the example trainings say while they go, and of what came of them."""

from streamclf.train.evaluate.report import FIGURES
from streamclf.train.fit.job import Result


class EpochLines:
    """A `training.Watch` that tells every n-th epoch."""

    def __init__(self, every: int) -> None:
        self._every = every

    def step(self, done: int, total: int, loss: float) -> None:
        """Nothing is said of a step."""

    def epoch(self, line: str) -> None:
        """A line, now and then."""
        if int(line.split()[1]) % self._every == 0:
            print(line, flush=True)


def say(text: str) -> None:
    """A line, at once."""
    print(text, flush=True)


def tell(result: Result, *, what: str) -> None:
    """The cost of a training and its figures. what: the held-out recordings, in a word or more."""
    outcome, report = result.outcome, result.report
    print(f"trained in {outcome.seconds / 60:.1f} min, {outcome.cpu_seconds / 60:.1f} min of CPU")
    if report is not None:
        print(f"{report.parameters:,} parameters, {report.run_ms:.2f} ms a run, look-ahead {report.look_ahead_ms:g} ms")
    if result.judged is None:
        return
    print(f"on {len(result.judged.evaluation.recordings)} {what}:")
    for key, value in result.judged.figures.items():
        if value is not None:
            title, unit = FIGURES[key]
            print(f"  {title:24} {100 * value:.1f} %" if unit == "%" else f"  {title:24} {value:.3f} {unit}")
