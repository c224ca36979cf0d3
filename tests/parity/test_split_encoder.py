"""Two graphs, encoder and head, give what the undivided model gives on every window, though a row is made once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the extra `train`)")
transformers = pytest.importorskip("transformers", reason="needs transformers (the extra `train`)")
pytest.importorskip("onnxscript", reason="torch exports graphs with onnxscript")

from streamclf.audio.ring import Ring  # noqa: E402
from streamclf.engine.batch import PackRunner  # noqa: E402
from streamclf.engine.engine import Engine  # noqa: E402
from streamclf.engine.offline import run_blocks  # noqa: E402
from streamclf.engine.stream import Stream  # noqa: E402
from streamclf.engine.track import TrackOptions  # noqa: E402
from streamclf.engine.verify import verify  # noqa: E402
from streamclf.errors import StreamclfError  # noqa: E402
from streamclf.model.loader import load_pack  # noqa: E402
from streamclf.model.pack import Manifest  # noqa: E402
from streamclf.model.packwriter import write_pack  # noqa: E402
from streamclf.model.session import Session  # noqa: E402
from streamclf.train.export.onnxgraph import to_onnx  # noqa: E402
from streamclf.train.export.parity import signal  # noqa: E402
from streamclf.train.export.split_encoder import ENCODER_FILE, obstacle, split  # noqa: E402
from streamclf.types import F32, Gap, Label, Provider, Shape  # noqa: E402

RATE, HOP, FIELD, FRAMES = 16_000, 320, 400, 12
WINDOW = (FRAMES - 1) * HOP + FIELD
TOLERANCE = 1e-4
MODELS = ("WavLMForAudioFrameClassification", "SEWForSequenceClassification")
"""Those of which the parts differ most; tests/parity/test_export_families.py has all."""


def model(architecture: str, **changes: Any) -> Any:
    kind = getattr(transformers, architecture)
    settings: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "conv_dim": (16,) * (13 if architecture.startswith("SEW") else 7),
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "num_conv_pos_embeddings": 2 if architecture.startswith("Data2Vec") else 16,
        "num_conv_pos_embedding_groups": 2,
        "classifier_proj_size": 24,
        "num_labels": 3,
        "vocab_size": 3,
        "pad_token_id": 0,
    }
    if architecture.startswith("Data2Vec"):
        settings["conv_pos_kernel_size"] = 7
    torch.manual_seed(5)
    made = kind(kind.config_class(**(settings | changes)))
    with torch.no_grad():
        # a spread that keeps the signal's size through the layers, so that the classes differ
        for name, weight in made.named_parameters():
            if weight.dim() > 1 and "parametrizations" not in name:
                weight.normal_(0.0, 1.3 / weight[0].numel() ** 0.5)
    return made.eval()


def write(folder: Path, made: Any) -> Path:
    parts = split(made, normalise=False)
    assert (parts.features.frame_length, parts.features.frame_shift) == (FIELD, HOP)
    framewise = not type(made).__name__.endswith("SequenceClassification")
    placed: dict[str, Any] = {"row_at": (FRAMES - 1) * HOP, "look_ahead": WINDOW - FRAMES * HOP}
    if framewise:
        placed = {"rows_per_window": FRAMES, "look_ahead": WINDOW - FRAMES * HOP}
    manifest = Manifest(
        format=1,
        name="split",
        version="1",
        title="Split",
        licence="MIT",
        source="random weights",
        rate=RATE,
        shape=Shape.WINDOW_FRAMES if framewise else Shape.WINDOW_ROW,
        window=WINDOW,
        features=parts.features,
        input="features",
        input_layout="time-bands",
        output="scores",
        activation="softmax",
        files={},
        **placed,
    )
    example = torch.randn(2, FRAMES, parts.features.bands)
    graph = to_onnx(parts.head, [example], inputs=["features"], outputs=["scores"], batch_axes=[0]).model
    labels = [Label(f"c{i}", f"Class {i}", "random") for i in range(3)]
    return write_pack(
        folder, manifest, model=graph, labels=labels, card="# Tiny\n", extra={ENCODER_FILE: parts.graph()}
    )


class Packs:
    """The pack of each class, made when it is first asked for: an export takes seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, architecture: str) -> Path:
        pack = self._folder / architecture
        return pack if pack.exists() else write(pack, model_of(architecture))


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Packs:
    return Packs(tmp_path_factory.mktemp("packs"))


def undivided(architecture: str, audio: F32, start: int) -> F32:
    """(F, classes) of the untouched model on samples [start, start + WINDOW)."""
    with torch.inference_mode():
        logits = model_of(architecture)(input_values=torch.from_numpy(audio[start : start + WINDOW])[None]).logits
    rows: F32 = torch.softmax(logits, dim=-1).numpy().reshape(-1, 3)
    return rows


_MADE: dict[str, Any] = {}


def model_of(architecture: str) -> Any:
    if architecture not in _MADE:
        _MADE[architecture] = model(architecture)
    return _MADE[architecture]


def engine(folder: Path) -> Engine:
    pack = load_pack(folder)
    runner = PackRunner(pack, Session(pack, provider=Provider.CPU))
    return Engine([runner], options=TrackOptions(latency_ms=0, native=True))


def cut(audio: F32) -> Iterator[F32]:
    sizes = (1, 317, 1009, 4801, 160, 2, 3333)
    at = index = 0
    while at < len(audio):
        yield audio[at : at + sizes[index % len(sizes)]]
        at += sizes[index % len(sizes)]
        index += 1


@pytest.mark.parametrize("architecture", MODELS)
def test_every_row_of_every_window_is_the_undivided_models(packs: Packs, architecture: str) -> None:
    audio = signal(RATE, WINDOW + 40 * HOP)
    live = engine(packs[architecture])
    for _ in run_blocks(live, "s", rate=RATE, blocks=cut(audio), keep=True):
        pass
    native = live.tracks["s"][0].native
    assert native is not None
    whole = [(start, rows) for start, rows in native if start + WINDOW <= len(audio)]
    assert [start for start, _ in whole] == list(range(0, 41 * HOP, HOP))
    expected = [undivided(architecture, audio, start) for start, _ in whole]
    assert np.ptp(np.concatenate(expected), axis=0).max() > 0.01, "the model must have something to say"
    assert max(float(np.abs(rows - exact).max()) for (_, rows), exact in zip(whole, expected, strict=True)) < TOLERANCE


@pytest.mark.parametrize("architecture", MODELS)
def test_verify_finds_nothing_wrong(packs: Packs, architecture: str) -> None:
    report = verify(load_pack(packs[architecture]))
    assert report.problems == []
    assert report.reuse.startswith("encoder frames")


def test_after_a_gap_rows_are_those_of_a_fresh_stream(packs: Packs) -> None:
    architecture = MODELS[0]
    after = signal(RATE, WINDOW + 10 * HOP, seed=2)
    live = engine(packs[architecture])
    ring = Ring(4 * RATE)
    live.add(Stream("s", rate=RATE, ring=ring))
    ring.write(signal(RATE, 30 * HOP + 7, seed=1))
    ring.skip(2 * HOP - 7, "xrun")
    ring.write(after)
    outputs = live.drain() + live.finish("s")
    assert [o.reason for o in outputs if isinstance(o, Gap)] == ["xrun"]
    native = live.tracks["s"][0].native
    assert native is not None
    late = [(start - 32 * HOP, rows) for start, rows in native if start >= 32 * HOP]
    late = [(start, rows) for start, rows in late if start + WINDOW <= len(after)]
    assert [start for start, _ in late] == list(range(0, 11 * HOP, HOP))
    worst = max(float(np.abs(rows - undivided(architecture, after, start)).max()) for start, rows in late)
    assert worst < TOLERANCE


def test_the_model_itself_stays_as_it_was() -> None:
    made = model(MODELS[0])
    audio = torch.from_numpy(signal(RATE, WINDOW))[None]
    with torch.inference_mode():
        before = made(input_values=audio).logits
        parts = split(made, normalise=False)
        rows = torch.stack([parts.encoder(audio[:, at * HOP : at * HOP + FIELD])[0] for at in range(FRAMES)])
        assert torch.allclose(parts.head(rows[None]), before, atol=1e-4)
        assert torch.equal(made(input_values=audio).logits, before)


@pytest.mark.parametrize(
    ("architecture", "changes", "normalise", "reason"),
    [
        ("Wav2Vec2ForCTC", {"feat_extract_norm": "group"}, False, "group norm"),
        ("Wav2Vec2ForCTC", {}, True, "whole window"),
    ],
)
def test_what_rests_on_the_whole_window_is_not_cut(
    architecture: str, changes: dict[str, Any], normalise: bool, reason: str
) -> None:
    made = model(architecture, **changes)
    assert reason in obstacle(made, normalise=normalise)
    with pytest.raises(StreamclfError, match=reason):
        split(made, normalise=normalise)


def test_a_model_without_an_encoder_of_samples_is_not_cut() -> None:
    assert obstacle(torch.nn.Linear(2, 2), normalise=False) == "it has no convolutional encoder of samples"
