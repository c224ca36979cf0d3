"""Where events of taught classes begin and end, against the sounds of ours that are laid into a coffee shop."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from streamclf.engine.batch import PackRunner
from streamclf.engine.embed import Embedder, hosts_of
from streamclf.engine.engine import Engine
from streamclf.engine.heads import Heads
from streamclf.engine.offline import run_blocks
from streamclf.engine.taughtpack import TaughtPack
from streamclf.model.fusedsession import open_session
from streamclf.model.library import find_pack
from streamclf.teach import fit, sound
from streamclf.types import F32, Event, Label, Stage
from tools.measure_teach.sounds import BEEPS, RATE, SQUEAKS, read

HOP_FRAMES = 10
_APART_S, _BEFORE_S = 6.0, 2.0
_LOUD = np.float32(0.1)
_SILENT = 1e-4


def measure_edges(data: Path, model: str) -> str:
    """A sentence. Of each sound three examples are shown in the shop; another one is laid into it every six seconds."""
    pack = find_pack(model)
    host = hosts_of([pack])[0]
    embedder, rng = Embedder(host.graph), np.random.default_rng(1)
    shop = np.resize(read(data / "ambience" / "coffee-shop.ogg") * np.float32(0.3), 200 * RATE)
    background = embedder(shop[100 * RATE : 180 * RATE], RATE)[1][::5]
    makers = {name.replace(" ", "_"): make for name, make in {**BEEPS, **SQUEAKS}.items()}
    weights = []
    for make in makers.values():
        shown = [_laid(shop[7 * at * RATE :][: 4 * RATE], make(rng)) for at in range(3)]
        examples = [sound.numbers_of(embedder, sound.loud_part(one, RATE), RATE) for one in shown]
        weights.append(fit.fit(examples, [], background).weights)
    runner = PackRunner(pack, open_session(pack))
    runner.set_hop(HOP_FRAMES)
    engine = Engine([runner])
    taught = TaughtPack(engine, host)
    taught.use(Heads(list(makers), np.stack(weights, axis=1)), [Label(name, "") for name in makers])
    scene, truth = shop[40 * RATE :].copy(), []
    for at, (name, make) in enumerate(makers.items()):
        one = _audible(make(rng))
        begin = int((at * (_APART_S + 0.01) + _BEFORE_S) * RATE)
        scene[begin : begin + len(one)] += one * _LOUD
        truth.append((name, begin / RATE, (begin + len(one)) / RATE))
    scene = scene[: int((len(truth) + 1) * _APART_S * RATE)]
    events = [one for one in _events(engine, scene) if one.pack == taught.name]
    errors = [found for name, begin_s, end_s in truth if (found := _errors(events, name, begin_s, end_s)) is not None]
    begins, ends = np.abs(np.array(errors)).T
    return (
        f"{model}: {len(errors)} of {len(truth)} sounds found; begin off by {np.median(begins):.0f} ms in the median, "
        f"{(begins <= 100).sum()} within 100 ms; end off by {np.median(ends):.0f} ms, "
        f"{(ends <= 100).sum()} within 100 ms, longest {ends.max():.0f} ms"
    )


def _laid(room: F32, one: F32) -> F32:
    clip = room[: len(one) + RATE // 2].copy()
    clip[RATE // 4 :][: len(one)] += one * _LOUD
    return clip


def _audible(one: F32) -> F32:
    """Without the rests at its end."""
    return one[: int(np.flatnonzero(np.abs(one) > _SILENT)[-1]) + 1]


def _events(engine: Engine, scene: F32) -> Iterator[Event]:
    blocks = (scene[at : at + 320] for at in range(0, len(scene), 320))
    for outputs in run_blocks(engine, "shop", rate=RATE, blocks=blocks):
        yield from (one for one in outputs if isinstance(one, Event) and one.stage is Stage.CLOSE)


def _errors(events: list[Event], name: str, begin_s: float, end_s: float) -> tuple[float, float] | None:
    """By how many ms the event of that sound begins and ends late; None where there is none."""
    near = [one for one in events if one.label == name and abs(one.onset_frame / 50 - begin_s) < 1.5]
    if not near or near[0].offset_frame is None:
        return None
    return near[0].onset_frame * 20 - begin_s * 1000, near[0].offset_frame * 20 - end_s * 1000
