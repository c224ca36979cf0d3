"""Speech encoders with a head on every frame: a row every 20 ms."""

from streamclf.train.families.family import Family, Plan, Wishes, activation_of
from streamclf.train.families.speech import KIN, encoder_plan
from streamclf.train.pretrained import Checkpoint


def plan(checkpoint: Checkpoint, wishes: Wishes) -> Plan:
    """A row every 20 ms of a window of 1 s, unless another is asked for.

    Without a `problem_type` the classes are independent: so transformers' own examples read these heads.
    """
    activation, notes = activation_of(checkpoint, wishes, unset="sigmoid")
    return encoder_plan(
        checkpoint, wishes, framewise=True, activation=activation, names=checkpoint.names(), notes=notes
    )


FAMILY = Family(
    title="encoder + frame head",
    output="a row every 20 ms",
    classes=tuple(f"{name}ForAudioFrameClassification" for name in (*KIN, "Hubert")),
    plan=plan,
)
