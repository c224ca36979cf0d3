"""Kept keys and values give what attention over the whole file gives, masked to the rows that each may look at."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the extra `train`)")
pytest.importorskip("onnxscript", reason="torch exports graphs with onnxscript")

from streamclf.audio.ring import Ring  # noqa: E402
from streamclf.engine.batch import PackRunner  # noqa: E402
from streamclf.engine.engine import Engine  # noqa: E402
from streamclf.engine.offline import run_blocks  # noqa: E402
from streamclf.engine.stream import Stream  # noqa: E402
from streamclf.engine.verify import verify  # noqa: E402
from streamclf.features.frontend import make_frontend  # noqa: E402
from streamclf.features.spec import LogMel  # noqa: E402
from streamclf.model.loader import load_pack  # noqa: E402
from streamclf.model.packwriter import write_pack  # noqa: E402
from streamclf.model.session import Session  # noqa: E402
from streamclf.train.export.parity import signal  # noqa: E402
from streamclf.train.fit.cached import CachedTransformer, chunk_graph, chunk_manifest  # noqa: E402
from streamclf.types import F32, FrameScores, Label, Output, Provider  # noqa: E402

RATE, HOP, BANDS, CLASSES, CONTEXT = 16_000, 320, 16, 3, 7
TOLERANCE = 1e-4
FEATURES = LogMel(
    frame_length=480,
    frame_shift=160,
    fft_size=512,
    bands=BANDS,
    low_hz=50.0,
    high_hz=7500.0,
    mel_scale="htk",
    log_offset=1e-6,
    mean=-6.0,
    scale=4.0,
)
BLOCKS = (1, 317, 1009, 4801, 160, 2, 3333)


def net() -> CachedTransformer:
    torch.manual_seed(3)
    made = CachedTransformer(CLASSES, bands=BANDS, dim=24, layers=3, heads=2, context=CONTEXT)
    with torch.no_grad():
        # far from flat attention, so that a wrong, missing or surplus key shows
        for name, weight in made.named_parameters():
            if weight.dim() > 1 and name != "distance":
                weight.normal_(0.0, 1.6 / weight.shape[1] ** 0.5)
        made.distance.normal_(0.0, 1.0)
    return made.eval()


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Rows a run -> its pack; all of one net."""
    made = {}
    for rows in (1, 2, 5):
        manifest = chunk_manifest(
            net(), name=f"cached-{rows}", features=FEATURES, rate=RATE, rows=rows, activation="softmax"
        )
        labels = [Label(f"c{i}", f"Class {i}", "random") for i in range(CLASSES)]
        graph = chunk_graph(net(), manifest).model
        folder = tmp_path_factory.mktemp("pack") / "p"
        made[rows] = write_pack(folder, manifest, model=graph, labels=labels, card="# Tiny\n")
    return made


def whole_file(audio: F32) -> F32:
    """(rows, classes) of every 20 ms of a whole signal, by torch's own attention under an explicit mask.

    Row k takes the two spectra that begin 20 ms before it; those of the first row lie before the file.
    """
    frontend = make_frontend(FEATURES, RATE, history=2 * len(audio))
    silence = make_frontend(FEATURES, RATE, history=RATE)
    frontend.push(audio)
    silence.push(np.zeros(480, np.float32))
    spectra = np.zeros((frontend.available, BANDS), np.float32)
    frontend.window(0, len(audio), spectra)
    quiet = np.zeros((1, BANDS), np.float32)
    silence.window(0, 480, quiet)
    spectra = np.concatenate([quiet, quiet, spectra])
    count = len(spectra) // 2
    model = net()
    at = torch.arange(count)
    back = at[:, None] - at[None, :]
    seen = (back >= 0) & (back <= CONTEXT)
    bias = model.distance[:, back.clamp(0, CONTEXT)].masked_fill(~seen, float("-inf"))
    with torch.inference_mode():
        rows = model.project(torch.from_numpy(spectra[: 2 * count].reshape(1, count, 2 * BANDS)))
        layers: Any = model.layers
        for layer in layers:
            heard = layer.norm1(rows)
            three = layer.attend(heard).reshape(1, count, 3, 2, 12)
            query, key, value = (three[:, :, at].transpose(1, 2) for at in range(3))
            mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias[None])
            rows = rows + layer.out(mixed.transpose(1, 2).reshape(1, count, 24))
            rows = rows + layer.narrow(torch.relu(layer.wide(layer.norm2(rows))))
        logits: Any = model.head(model.norm(rows))
    probabilities: F32 = torch.softmax(logits[0], dim=1).numpy()
    return probabilities


def engine(folder: Path) -> Engine:
    pack = load_pack(folder)
    return Engine([PackRunner(pack, Session(pack, provider=Provider.CPU))])


def cut(audio: F32) -> Iterator[F32]:
    at = index = 0
    while at < len(audio):
        yield audio[at : at + BLOCKS[index % len(BLOCKS)]]
        at += BLOCKS[index % len(BLOCKS)]
        index += 1


def rows_of(outputs: list[Output]) -> dict[int, F32]:
    scores = [o for o in outputs if isinstance(o, FrameScores)]
    return {o.first_frame + i: row for o in scores for i, row in enumerate(o.rows)}


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_streaming_equals_masked_attention_over_the_whole_file(packs: dict[int, Path], rows: int) -> None:
    audio = signal(RATE, 200 * HOP)
    outputs = [o for part in run_blocks(engine(packs[rows]), "s", rate=RATE, blocks=cut(audio)) for o in part]
    got, expected = rows_of(outputs), whole_file(audio)
    assert sorted(got) == list(range(200))
    assert np.ptp(expected, axis=0).min() > 0.5, "the net must have something to say"
    worst = [float(np.abs(got[k] - expected[k]).max()) for k in got]
    assert max(worst) < TOLERANCE


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_verify_finds_nothing_wrong(packs: dict[int, Path], rows: int) -> None:
    report = verify(load_pack(packs[rows]))
    assert report.problems == []
    assert report.frames >= 300 - rows
    assert report.look_ahead_ms == (rows - 1) * 20
    assert report.reuse == "keys and values: each step is run once"


@pytest.mark.parametrize("rows", [1, 5])
def test_after_a_gap_a_stream_is_as_fresh_as_a_new_one(packs: dict[int, Path], rows: int) -> None:
    before, after = signal(RATE, 61 * HOP + 5, seed=1), signal(RATE, 80 * HOP, seed=2)
    live = engine(packs[rows])
    ring = Ring(4 * RATE)
    live.add(Stream("s", rate=RATE, ring=ring))
    ring.write(before)
    ring.skip(3 * HOP - 5, "xrun")
    ring.write(after)
    got = rows_of(live.drain() + live.finish("s"))
    expected = whole_file(after)
    late = {k - 64: row for k, row in got.items() if k >= 64}
    assert sorted(late) == list(range(80))
    assert max(float(np.abs(late[k] - expected[k]).max()) for k in late) < TOLERANCE


def test_streams_of_different_age_share_a_batch(packs: dict[int, Path]) -> None:
    audio = signal(RATE, 60 * HOP)
    live = engine(packs[5])
    rings = {name: Ring(4 * RATE) for name in ("old", "young")}
    live.add(Stream("old", rate=RATE, ring=rings["old"]))
    rings["old"].write(signal(RATE, 100 * HOP, seed=4))
    live.drain()
    live.add(Stream("young", rate=RATE, ring=rings["young"]))
    outputs: list[Output] = []
    for at in range(0, len(audio), 5 * HOP):
        for ring in rings.values():
            ring.write(audio[at : at + 5 * HOP])
        outputs += live.tick()
    outputs += live.finish("young")
    young = rows_of([o for o in outputs if isinstance(o, FrameScores) and o.stream == "young"])
    old = rows_of([o for o in outputs if isinstance(o, FrameScores) and o.stream == "old"])
    expected = whole_file(audio)
    assert max(float(np.abs(young[k] - expected[k]).max()) for k in range(60)) < TOLERANCE
    reach = net().reach
    assert reach == 3 * CONTEXT + 1
    first = float(np.abs(old[100] - expected[0]).max())
    assert first > 100 * TOLERANCE, "an old stream remembers what came before"
    # what lies further back than the reach is forgotten, and two streams that hear the same then agree
    settled = [k for k in range(reach + 1, 55) if 100 + k in old]
    assert max(float(np.abs(old[100 + k] - expected[k]).max()) for k in settled) < TOLERANCE


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        CachedTransformer(2, bands=8, dim=10, heads=4)
    wrong = msgspec.structs.replace(FEATURES, frame_length=400)
    with pytest.raises(ValueError, match="frame_length 400"):
        chunk_manifest(net(), name="x", features=wrong, rate=RATE, rows=1, activation="sigmoid")
