"""Streams heard together are heard as each is alone, to the byte: rows, events, gaps, levels, columns, sound."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.lab.crowd import DEFAULT_PACK, canonical, crowd, engine_of, heard
from tools.lab.tinypack import fused_pack, window_frames_pack

PACKS: dict[str, tuple[Callable[[Path, Path], Path], int]] = {
    "default": (lambda packs, made: DEFAULT_PACK, 20),
    "silero-vad": (lambda packs, made: packs / "silero-vad", 20),
    "yamnet": (lambda packs, made: packs / "yamnet", 6),
    "fused": (lambda packs, made: fused_pack(made / "fused", when="quick"), 20),
    "frames": (lambda packs, made: window_frames_pack(made / "frames"), 12),
}


@pytest.mark.parametrize("name", PACKS)
def test_streams_together_and_alone(packs_dir: Path, tmp_path: Path, name: str) -> None:
    """Three rates, blocks of any size, lost samples, pauses, gains, offsets, ends.

    A graph runs one row at a time in both, since what ONNX Runtime gives may depend on how many there are.
    """
    make, streams = PACKS[name]
    folder = make(packs_dir, tmp_path)
    members = crowd(streams)

    together = heard(engine_of([folder], max_batch=1, hop=10), members)

    assert sum(len(told) for told in together.values()) > 1000
    for member in members:
        alone = heard(engine_of([folder], max_batch=1, hop=10), [member])[member.name]
        assert canonical(together[member.name]) == canonical(alone), member.name
