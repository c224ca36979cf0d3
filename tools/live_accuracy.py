"""Is a pack as accurate live as it is on whole files? Answers both ways from the same clips.

    python tools/live_accuracy.py PACK DATA [--folds 4] [--hop-ms 20] [--together 16]

*Offline*: each clip is decoded and resampled whole, every window is cut from it by hand and put through the graph.
*Live*: a daemon plays the clips as `file:` sources and a subscriber collects the rows from its websocket. In both a
clip's answer is the label with the highest mean over its frames; the clip's label has to be one of the pack's.
"""

import argparse
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from streamclf.audio.resample import Resampler
from streamclf.audio.sources.file import open_blocks
from streamclf.client import Client, Reconnect
from streamclf.clock import FRAME_MS, hop_of
from streamclf.errors import StreamclfError
from streamclf.features.frontend import make_frontend
from streamclf.model.labels import slug
from streamclf.model.library import find_pack
from streamclf.model.pack import Pack
from streamclf.model.session import Session
from streamclf.protocol import wire
from streamclf.train.data.annotations import Recording, read_data
from streamclf.types import F32, Provider, Shape


def main() -> None:
    """Print both accuracies and the clips that are answered differently."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack")
    parser.add_argument("data", type=Path)
    parser.add_argument("--folds", default="", help="only these, such as 4 or 4,5")
    parser.add_argument("--hop-ms", type=int, default=20)
    parser.add_argument("--together", type=int, default=16, help="clips that one daemon plays at once")
    given = parser.parse_args()
    pack = find_pack(given.pack)
    if pack.manifest.shape is not Shape.WINDOW_ROW:
        sys.exit(f"error: {given.pack} gives a row every 20 ms; expected a pack with one row a window")
    ids = [label.id for label in pack.labels]
    folds = {int(fold) for fold in given.folds.split(",") if fold}
    clips = [r for r in read_data(given.data)[0] if not folds or r.fold in folds]
    truth = [ids.index(slug(clip.labels[0])) for clip in clips]
    whole = [offline_rows(pack, clip, given.hop_ms) for clip in clips]
    played: list[F32] = []
    for at in range(0, len(clips), given.together):
        played += live_rows(given.pack, clips[at : at + given.together], given.hop_ms)
    offline, live = ([int(rows.mean(axis=0).argmax()) for rows in each] for each in (whole, played))
    for clip, here, there in zip(clips, offline, live, strict=True):
        if here != there:
            print(f"{clip.path.name}: {ids[here]} offline, {ids[there]} live")
    worst = max(float(np.abs(one - two).max()) for one, two in zip(whole, played, strict=True))
    print(f"rows differ by up to {worst:.1e} over {sum(map(len, whole))} frames")
    print(f"offline: {share(offline, truth)}")
    print(f"live:    {share(live, truth)}")


def share(answers: list[int], truth: list[int]) -> str:
    """Accuracy in words."""
    right = sum(answer == label for answer, label in zip(answers, truth, strict=True))
    return f"{right} of {len(truth)} clips, {100 * right / len(truth):.2f} %"


def offline_rows(pack: Pack, clip: Recording, hop_ms: int) -> F32:
    """Scores of every frame of the clip, (frames, classes): each of the newest window that may speak for it.

    A window speaks for the frame at `row_at` in it; the first one also for the frames before. Silence follows the clip.
    """
    manifest = pack.manifest
    native, _, blocks = open_blocks(clip.path)
    resampler = Resampler(native, manifest.rate)
    whole = resampler.push(np.concatenate([block.copy() for block in blocks]), last=True)
    hop, step = hop_of(manifest.rate), hop_of(manifest.rate) * hop_ms // FRAME_MS
    frames = -(-len(whole) // hop)
    whole = np.concatenate([whole, np.zeros(frames * hop + manifest.window - len(whole), np.float32)])
    frontend = make_frontend(manifest.features, manifest.rate, history=len(whole))
    frontend.push(whole)
    session = Session(pack, provider=Provider.CPU)
    assert manifest.row_at is not None
    starts = [max(0, frame * hop - manifest.row_at) // step * step for frame in range(frames)]
    rows = {}
    for start in sorted(set(starts)):
        frontend.window(start, manifest.window, session.input_rows(1)[0])
        rows[start] = session.run([0])[0, 0]
    return np.stack([rows[start] for start in starts])


def live_rows(pack: str, clips: list[Recording], hop_ms: int) -> list[F32]:
    """The final rows that a daemon sent of each clip: (frames, classes). Raises StreamclfError where one is missing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sources = [part for at, clip in enumerate(clips) for part in ("--source", f"file:{clip.path}#name=clip-{at}")]
    command = [sys.executable, "-m", "streamclf", "run", "--no-store", "--fast", "--model", pack, "--port", str(port)]
    rows: dict[str, dict[int, list[float]]] = {f"clip-{at}": {} for at in range(len(clips))}
    waiting = set(rows)
    with subprocess.Popen(
        [*command, "--hop-ms", str(hop_ms), *sources], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as daemon:
        try:
            client = Client(
                f"127.0.0.1:{port}",
                tier="frame",
                final="final",
                min_prob=0.0,
                reconnect=Reconnect(on_wait=lambda why, delay_s: None),
            )
            for message in client.blocking():
                if isinstance(message, wire.Lagged):
                    raise StreamclfError("rows were lost on the way; play fewer clips at once (--together)")
                if isinstance(message, wire.Scores):
                    rows[message.stream] |= enumerate(message.rows, start=message.first_frame)
                elif isinstance(message, wire.Status) and message.state == "ended":
                    waiting.discard(message.stream)
                    if not waiting:
                        break
        finally:
            daemon.terminate()
    for at, clip in enumerate(clips):
        frames = rows[f"clip-{at}"]
        if sorted(frames) != list(range(len(frames))):
            raise StreamclfError(f"of {clip.path.name} only {len(frames)} rows came, not one after another")
    return [np.array([each[k] for k in sorted(each)], dtype=np.float32) for each in rows.values()]


if __name__ == "__main__":
    try:
        main()
    except StreamclfError as error:
        sys.exit(f"error: {error}")
