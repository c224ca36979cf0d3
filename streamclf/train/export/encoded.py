"""Whether a pack keeps the rows of an encoder, and, with running statistics, what those rows are by definition.

Nothing here is asked of other models: their features are incremental anyway.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from streamclf.clock import hop_of
from streamclf.errors import UsageError
from streamclf.features.frontend import window_feature_frames
from streamclf.model.pack import Manifest, Waveform
from streamclf.train.export import parity
from streamclf.train.export.split_encoder import SplitEncoder, obstacle, split
from streamclf.train.families.family import Plan, Wishes
from streamclf.train.families.ongrid import SAME, OnGrid
from streamclf.types import F32

# the extractor adds it to the variance of the samples
_VARIANCE_FLOOR = 1e-7


def keep_encoder(plan: Plan, wishes: Wishes) -> tuple[Plan, SplitEncoder | None]:
    """The plan with its encoder in a graph of its own, whose rows are kept, where that is exact or was asked for.

    Raises UsageError where running statistics were asked for and there is nothing that they could stand in for.
    """
    model = getattr(plan.module, "model", None)
    normalise = plan.features == Waveform(normalise="window")
    running = wishes.running_statistics
    reason = obstacle(model, normalise=normalise, running=running)
    if not isinstance(plan.features, Waveform):
        reason = "it has no convolutional encoder of samples"
    elif running and wishes.one_graph:
        reason = "--one-graph runs the encoder with every window"
    if running and reason:
        raise UsageError(f"--running-statistics cannot be had: {reason}; leave it out")
    if wishes.one_graph or (reason and obstacle(model, normalise=normalise, running=True)):
        return plan, None
    cut = split(model, normalise=normalise, window=plan.window if running or reason else 0)
    shift = cut.features.frame_shift
    if hop_of(plan.rate) % shift:
        if running:
            raise UsageError(f"--running-statistics cannot be had: its frames of {shift} samples do not divide 20 ms")
        return plan, None
    if reason:
        note = (
            f"{reason}, so all of it is run anew with each window; --running-statistics would do "
            f"{work_saved(plan, cut):.2g} times less arithmetic, at a loss of agreement that it measures"
        )
        return dataclasses.replace(plan, notes=(*plan.notes, note)), None
    if plan.module.grid != SAME:
        cut = dataclasses.replace(cut, head=OnGrid(cut.head, plan.module.grid))
    note = "its encoder has a graph of its own: each 20 ms is encoded once and kept"
    if running:
        note += ", by statistics of the sound up to it in place of the window's"
    kept = dataclasses.replace(
        plan, module=cut.head, features=cut.features, layout="time-bands", notes=(*plan.notes, note)
    )
    return kept, cut


def work_saved(plan: Plan, cut: SplitEncoder) -> float:
    """Multiplications and additions of a whole window, over those of one frame's encoder and the rest of the model."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def count(*calls: tuple[Any, list[Any]]) -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            for module, inputs in calls:
                module(*inputs)
        return int(counter.get_total_flops())

    rows = torch.zeros(1, window_feature_frames(cut.features, plan.window), cut.features.bands)
    whole = count((plan.module, [torch.zeros(1, plan.window)]))
    return whole / count((cut.encoder, cut.examples(1)), (cut.head, [rows]))


def running_rows(cut: SplitEncoder, manifest: Manifest, *, normalise: bool) -> Callable[[F32], F32]:
    """What a pack with running statistics gives for a signal: native rows (runs, F, classes) float32 probabilities.

    By definition, from the whole signal and the checkpoint's own layers: the places of each frame before, weighted, and
    all of the frame's own, give mean and variance of the samples and of the first convolution's channels.
    """
    import torch

    features = cut.features
    shift, length = features.frame_shift, features.frame_length
    first, *others = cut.undivided.convolutions.conv_layers

    def moments(values: Any, weights: Any) -> tuple[Any, Any]:
        wide = values.double()
        mean = (wide * weights).sum(-1, keepdim=True) / weights.sum()
        return mean, ((wide - mean).square() * weights).sum(-1, keepdim=True) / weights.sum()

    def row(heard: Any, frame: int) -> Any:
        oldest = max(0, frame - features.span + 1)
        stretch = heard[oldest * shift : frame * shift + length]
        count = (len(stretch) - features.taps) // features.stride + 1
        age = (frame - oldest - torch.arange(count) // (shift // features.stride)).clamp(min=0)
        weights = features.decay ** age.double()
        if normalise:
            means, variances = moments(stretch.unfold(0, features.taps, features.stride).T, weights)
            stretch = ((stretch - means.mean()) / (variances.mean() + _VARIANCE_FLOOR).sqrt()).float()
        hidden = stretch[None, None, -length:]
        norm = first.layer_norm
        if isinstance(norm, torch.nn.GroupNorm):
            mean, variance = moments(first.conv(stretch[None, None]), weights)
            hidden = ((first.conv(hidden) - mean) / (variance + norm.eps).sqrt()).float()
            hidden = first.activation(hidden * norm.weight[:, None] + norm.bias[:, None])
        else:
            hidden = first(hidden)
        for layer in others:
            hidden = layer(hidden)
        return cut.undivided.projected(hidden[:, :, 0])

    @torch.inference_mode()
    def expected(audio: F32) -> F32:
        starts = parity.starts(manifest, len(audio))
        samples = starts[-1] + manifest.window
        heard = torch.from_numpy(np.concatenate([audio, np.zeros(max(0, samples - len(audio)), np.float32)])[:samples])
        rows = torch.cat([row(heard, frame) for frame in range(window_feature_frames(features, samples))])
        count = window_feature_frames(features, manifest.window)
        logits = torch.cat([cut.head(rows[None, start // shift :][:, :count]) for start in starts]).numpy()
        return parity.probabilities(logits if logits.ndim == 3 else logits[:, None], manifest.activation)

    return expected
