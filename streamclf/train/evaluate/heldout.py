"""What a trained pack is worth on recordings it has never heard: through the live engine, and by torch beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamclf.config import Config
from streamclf.engine.engine import Engine
from streamclf.engine.pace import hop_frames
from streamclf.train.data.annotations import Recording
from streamclf.train.evaluate.evaluation import Evaluation, EvaluationSettings, Pooling, evaluate
from streamclf.train.evaluate.inputs import label_maps, make_engines
from streamclf.train.evaluate.report import figures
from streamclf.types import Provider


@dataclass(frozen=True, slots=True)
class Judged:
    """evaluation: through the engine, one run every `hop_ms`. pooling: how a clip's frames became one score."""

    evaluation: Evaluation
    hop_ms: int
    pooling: Pooling

    @property
    def figures(self) -> dict[str, float | None]:
        """By name, as `report.FIGURES` explains them."""
        return figures(self.evaluation.packs[0])


def judge(
    pack: Path,
    recordings: Sequence[Recording],
    *,
    exclusive: bool,
    progress: Callable[[float], None] = lambda done: None,
) -> Judged:
    """Run the pack over `recordings` as `streamclf eval` does, at the hop that this machine holds.

    Of clips, the mean over all frames counts where one class holds at a time, the maximum where several may.
    """
    engine = live_engine(pack)
    (runner,) = engine.runners
    labels = sorted({label for recording in recordings for label in recording.labels})
    maps = label_maps([engine], [runner.name], labels, {}, recordings)
    pooling: Pooling = "mean" if exclusive else "max"
    result = evaluate([engine], maps, recordings, EvaluationSettings(pooling=pooling), progress=progress)
    return Judged(result, 20 * runner.hop_frames, pooling)


def live_engine(pack: Path) -> Engine:
    """One with that pack alone, run as often as this machine can."""
    (engine,), _ = make_engines([str(pack)], Config(provider=Provider.CPU))
    (runner,) = engine.runners
    runner.set_hop(hop_frames(runner.session.warm_up(), streams=1, window_packs=1))
    return engine
