"""Speech encoders with an XVector head: one embedding of the voice for a window."""

from operator import attrgetter

from streamclf.errors import UsageError
from streamclf.train.families import embedding
from streamclf.train.families.family import DEFAULT_WINDOW_MS, Family, Plan, Wishes, extracted
from streamclf.train.families.speech import KIN, model_class, side_of
from streamclf.train.pretrained import Checkpoint
from streamclf.types import Shape


def plan(checkpoint: Checkpoint, wishes: Wishes) -> Plan:
    """One row a window of 1 s, unless another is asked for; longer ones tell voices apart better."""
    embedding.refuse_activation(checkpoint, wishes)
    side = side_of(checkpoint)
    config = checkpoint.config
    frames = max(1, round(wishes.window_samples(side.rate, DEFAULT_WINDOW_MS) / side.stride))
    # of what its layers over time leave, a deviation is taken
    least = 2 + sum((kernel - 1) * step for kernel, step in zip(config.tdnn_kernel, config.tdnn_dilation, strict=True))
    if frames < least:
        needed = 1000 * ((least - 1) * side.stride + side.field) / side.rate
        raise UsageError(
            f"a window of {wishes.window_ms or DEFAULT_WINDOW_MS:g} ms was asked for; {checkpoint.source} needs "
            f"{needed:g} ms at least"
        )
    model = checkpoint.model(model_class(checkpoint.architecture), unused=("objective.weight",))
    reference = extracted(checkpoint.extractor(), model, side.rate, taken="embeddings")
    return Plan(
        rate=side.rate,
        shape=Shape.WINDOW_ROW,
        window=(frames - 1) * side.stride + side.field,
        features=side.features,
        module=embedding.EmbeddingHead(side.head(model, taken=attrgetter("embeddings"))),
        reference=embedding.directions(reference),
        layout=side.layout,
        notes=(embedding.NOTE, *side.notes),
        exact=tuple(f"embed.{part}" for part in side.exact),
        **embedding.parts(int(config.xvector_output_dim)),
    )


FAMILY = Family(
    title="encoder + XVector head",
    output="an embedding a window",
    classes=tuple(f"{name}ForXVector" for name in KIN),
    plan=plan,
)
