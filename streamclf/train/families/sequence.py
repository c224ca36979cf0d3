"""Speech encoders with a mean over the window and a head: one row a window."""

from streamclf.train.families.family import Family, Plan, Wishes, activation_of
from streamclf.train.families.speech import SEQUENCE_KIN, encoder_plan
from streamclf.train.pretrained import Checkpoint


def plan(checkpoint: Checkpoint, wishes: Wishes) -> Plan:
    """One row a window of 1 s, unless another is asked for."""
    activation, notes = activation_of(checkpoint, wishes, unset="softmax")
    return encoder_plan(
        checkpoint, wishes, framewise=False, activation=activation, names=checkpoint.names(), notes=notes
    )


FAMILY = Family(
    title="encoder + mean + head",
    output="one row a window",
    classes=tuple(f"{name}ForSequenceClassification" for name in SEQUENCE_KIN),
    plan=plan,
)
