"""What the replay ring holds about one moment. On the loop's thread, as the hub is."""

from dataclasses import dataclass

from streamclf.clock import NS_PER_FRAME
from streamclf.serve.hub import Hub
from streamclf.types import F32


@dataclass(frozen=True, slots=True)
class Held:
    """Consecutive rows of a pack. rows: (frames, classes) float32, not to be written to. first_ns: of the first."""

    pack: str
    first_ns: int
    rows: F32


def probability(hub: Hub, stream: str, label: str) -> float | None:
    """Of `label` on the newest row of `stream`, the highest of all packs that know it; None where there is none."""
    found = [
        float(row[column])
        for track in hub.tracks.values()
        if track.stream == stream and (row := track.newest) is not None
        for column, known in enumerate(hub.packs[track.pack].labels)
        if known.id == label
    ]
    return max(found, default=None)


def rows_held(hub: Hub, stream: str, since_ns: int, until_ns: int) -> list[Held]:
    """Rows of `stream` whose frames begin in [since, until), pack by pack; final ones where there are any."""
    clock = hub.streams[stream].clock
    first, end = (-((clock.epoch_ns - ns) // NS_PER_FRAME) for ns in (since_ns, until_ns))  # rounded up
    found: list[Held] = []
    for pack in hub.packs:
        tracks = (hub.tracks.get((stream, pack, final)) for final in (True, False))
        parts = next((some for track in tracks if track and (some := track.rows_between(first, end))), [])
        for frame, rows in parts:
            skipped = max(0, first - frame)
            found.append(Held(pack, clock.ns_of_frame(frame + skipped), rows[skipped : end - frame]))
    return found
