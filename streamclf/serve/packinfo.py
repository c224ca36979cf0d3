"""From a loaded pack to what `hello` tells of it."""

from streamclf.clock import FRAME_MS
from streamclf.model.geometry import receptive_field_ms
from streamclf.model.pack import Pack
from streamclf.serve.info import PackInfo
from streamclf.types import Shape


def pack_info(pack: Pack, *, hop_ms: int, provider: str, latency_ms: int | None = None) -> PackInfo:
    """Buffering counts as the longest of a frame, a run's step and the hop between runs. Times in ms.

    hop_ms: between two runs; of a fused pack the longest of its members'.
    """
    manifest = pack.manifest
    look_ahead_ms = manifest.look_ahead * 1000 / manifest.rate
    field_ms = receptive_field_ms(pack)
    stateful = manifest.shape is Shape.STATEFUL
    buffering_ms = max(FRAME_MS, manifest.step * 1000 / manifest.rate if stateful else hop_ms)
    return PackInfo(
        name=manifest.name,
        version=manifest.version,
        digest=pack.digest,
        shape=manifest.shape,
        labels=pack.labels,
        exclusive=manifest.exclusive,
        window_ms=manifest.window * 1000 / manifest.rate,
        look_ahead_ms=look_ahead_ms,
        algorithmic_latency_ms=look_ahead_ms + buffering_ms,
        receptive_field_ms=field_ms,
        hop_ms=hop_ms,
        provider=provider,
        latency_ms=latency_ms if pack.revised else None,
    )
