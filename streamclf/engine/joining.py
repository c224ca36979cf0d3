"""A stream joins the engine: its track under a pack, with a strand for each of the pack's graphs."""

from collections.abc import Sequence

from streamclf.engine.batch import PackRunner
from streamclf.engine.edges import edges_of, looks_back
from streamclf.engine.segment import Decision, Segmenter
from streamclf.engine.strand import Strand
from streamclf.engine.stream import Stream
from streamclf.engine.track import Track, TrackOptions
from streamclf.errors import PackError
from streamclf.model.pack import Manifest


def join(
    runner: PackRunner,
    stream: Stream,
    *,
    among: Sequence[PackRunner],
    decisions: Sequence[Decision],
    options: TrackOptions,
    priority: int,
) -> Track:
    """The track of `stream` under the runner's pack, which the runner has from now on.

    among: every runner that may hear the stream; those with the same features share what the stream keeps for them.
    decisions: one for each label. Raises `PackError` where the pack serves as many streams as it can.
    """
    pack, name = runner.pack, runner.pack.manifest.name
    slot = runner.take_slot()
    if slot is None:
        raise PackError(
            f"pack {name} already serves {len(runner.tracks)} streams, as many as it has slots for; "
            "start a second daemon for more"
        )
    strands = [
        Strand(
            graph.manifest,
            stream.listen(
                graph.manifest.features,
                graph.manifest.rate,
                window=_history(among, graph.manifest),
                graph=f"{name}/{graph.label}",
            ),
            slot=slot,
            options=options,
        )
        for graph in runner.graphs
    ]
    known = None if pack.fusion is None else pack.fusion.known
    edges = edges_of(pack, strands)
    begins = None if edges is None else edges.begins
    track = Track(
        pack,
        strands,
        Segmenter(stream.name, name, pack.labels, decisions, known=known, begins=begins),
        stream=stream.name,
        native_hop=stream.hop,
        options=options,
    )
    track.priority = priority
    runner.add(track)
    return track


def _history(runners: Sequence[PackRunner], like: Manifest) -> int:
    """The longest stretch that a graph with the features and the rate of `like` looks back (samples)."""
    wanted = [(one.manifest, looks_back(runner.pack, at)) for runner in runners for at, one in enumerate(runner.graphs)]
    return max(samples for m, samples in wanted if (m.features, m.rate) == (like.features, like.rate))
