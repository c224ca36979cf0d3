"""What a pack says of place and week: how likely each of its labels is there and then."""

from datetime import date

import numpy as np

from streamclf.errors import PackError
from streamclf.model.pack import Pack
from streamclf.model.providers import load_graph
from streamclf.text import words_of
from streamclf.types import F32, Provider

WEEKS = 48


def week_of(day: date) -> int:
    """The week of the year as the model counts them: 48 of equal length, from 1."""
    days = date(day.year, 12, 31).timetuple().tm_yday
    return -(-day.timetuple().tm_yday * WEEKS // days)


def likely(pack: Pack, *, latitude: float, longitude: float) -> F32:
    """(48, classes) float32 in [0, 1]: of each week of the year how likely each label is there.

    latitude, longitude: degrees, north and east positive. Raises `PackError` where the graph does not give that.
    """
    assert pack.range is not None
    graph = load_graph(pack, pack.range, Provider.CPU, 1)
    places = np.array([[latitude, longitude, week] for week in range(1, WEEKS + 1)], dtype=np.float32)
    name = pack.manifest.name
    try:
        (found,) = graph.run(["likely"], {"place": places})
    except Exception as fault:  # onnxruntime raises a dozen unrelated types
        raise PackError(f"range.onnx of pack {name} does not run: {words_of(fault)}; add the pack again") from fault
    weeks = np.asarray(found, dtype=np.float32)
    if weeks.shape != (WEEKS, len(pack.labels)) or not np.isfinite(weeks).all():
        raise PackError(
            f"range.onnx of pack {name} gives {list(weeks.shape)}, or no finite numbers, for {WEEKS} weeks and "
            f"{len(pack.labels)} labels; add the pack again"
        )
    return weeks
