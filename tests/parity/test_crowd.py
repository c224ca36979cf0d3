"""Streams heard together are heard as each is alone, to the byte: rows, events, gaps, levels, columns, sound."""

from pathlib import Path

import pytest

from tools.lab.crowd import DEFAULT_PACK, canonical, crowd, engine_of, heard


@pytest.mark.parametrize(("names", "streams"), [((), 20), (("silero-vad",), 20), (("yamnet",), 6)])
def test_streams_together_and_alone(packs_dir: Path, names: tuple[str, ...], streams: int) -> None:
    """Three rates, blocks of any size, lost samples, pauses, gains, offsets, ends.

    A graph runs one row at a time in both, since what ONNX Runtime gives may depend on how many there are.
    """
    folders = [packs_dir / name for name in names] or [DEFAULT_PACK]
    members = crowd(streams)

    together = heard(engine_of(folders, max_batch=1, hop=10), members)

    assert sum(len(told) for told in together.values()) > 1000
    for member in members:
        alone = heard(engine_of(folders, max_batch=1, hop=10), [member])[member.name]
        assert canonical(together[member.name]) == canonical(alone), member.name
