"""transformers' models as learners: what is trained is the very module that export turns into a graph."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from streamclf.errors import UsageError
from streamclf.train.data.tasks import Task
from streamclf.train.export.certificate import ExportReport
from streamclf.train.export.checkpoint import export_checkpoint
from streamclf.train.export.packing import Say
from streamclf.train.families import family_of
from streamclf.train.families.family import Wishes, manifest_of
from streamclf.train.fit import newhead
from streamclf.train.fit.ours import UNSTATED
from streamclf.train.pretrained import Checkpoint


class HubNet:
    """A `training.Learner` on a checkpoint whose head fits the task.

    pretrained: its encoder was trained before, and may learn at another rate than its head.
    """

    def __init__(
        self, checkpoint: Checkpoint, task: Task, *, wishes: Wishes, freeze: newhead.Freeze, pretrained: bool
    ) -> None:
        family = family_of(checkpoint)
        plan = family.plan(checkpoint, wishes)
        if tuple(plan.names) != task.labels:
            raise UsageError(f"{checkpoint.source} was made for other classes than the data's; train it with --from")
        self._checkpoint, self._wishes, self._pretrained = checkpoint, wishes, pretrained
        self.net: nn.Module = plan.module
        self.stretch = plan.window
        self.delay = 0
        self.manifest = manifest_of(
            plan, wishes, name="training", title="of a net in training", licence="none", source="none"
        )
        model: Any = plan.module.model
        encoder = "feature_extractor" if hasattr(model, "freeze_feature_encoder") else None
        newhead.freeze(model, freeze, feature_encoder=encoder)

    def logits(self, x: Tensor) -> Tensor:
        """(B, classes) or (B, rows, classes)."""
        rows: Tensor = self.net(x)
        return rows

    def is_encoder(self, name: str) -> bool:
        """Whether the weight was trained before this run."""
        return self._pretrained and not newhead.is_head(name)

    def export(self, out: Path, task: Task, *, name: str, licence: str, card: str, say: Say) -> ExportReport:
        """Save the checkpoint beside the run and export it into the folder `out`."""
        folder = Path(self._checkpoint.source)
        newhead.save(self.net.model, folder)
        return export_checkpoint(
            folder,
            out,
            name=name,
            wishes=self._wishes,
            licence=licence or UNSTATED,
            offline=True,
            replace=True,
            card=card,
            say=say,
        )
