"""What the unit layer does without: processes of its own for what is not about processes."""

from collections.abc import Iterator

import pytest

from streamclf.engine import trial
from streamclf.engine.making import StartBrake
from streamclf.engine.trial import TrialOutcome
from streamclf.engine.trialrun import TrialTask, report
from streamclf.model.pack import Pack
from streamclf.model.providers import runtime_version


@pytest.fixture(scope="module", autouse=True)
def tried_here() -> Iterator[None]:
    """The trial of a pack runs in this process, which takes a tenth; tests/fault/test_trial.py has it as it is."""

    def tried(pack: Pack, brake: StartBrake) -> TrialOutcome:
        limit = trial.memory_limit(pack)
        told = report(TrialTask(str(pack.path), pack.digest, limit, 0, 0, 0))
        return TrialOutcome(pack.digest, runtime_version(), trial._problem(0, told, limit))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "_try", tried)
        yield
