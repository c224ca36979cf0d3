"""Running statistics: every row of the live engine is the one that their definition gives, and the loss is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the extra `train`)")
tr = pytest.importorskip("transformers", reason="needs transformers (the extra `train`)")
pytest.importorskip("onnxscript", reason="torch exports graphs with onnxscript")

from streamclf.audio.ring import Ring  # noqa: E402
from streamclf.engine.batch import PackRunner  # noqa: E402
from streamclf.engine.engine import Engine  # noqa: E402
from streamclf.engine.offline import run_blocks  # noqa: E402
from streamclf.engine.stream import Stream  # noqa: E402
from streamclf.engine.track import TrackOptions  # noqa: E402
from streamclf.engine.verify import verify  # noqa: E402
from streamclf.errors import UsageError  # noqa: E402
from streamclf.model.loader import load_pack  # noqa: E402
from streamclf.model.pack import Encoded, Pack, Waveform  # noqa: E402
from streamclf.model.session import Session  # noqa: E402
from streamclf.train.export.certificate import ExportReport, lines  # noqa: E402
from streamclf.train.export.checkpoint import export_checkpoint  # noqa: E402
from streamclf.train.export.parity import signal  # noqa: E402
from streamclf.train.families.family import Wishes  # noqa: E402
from streamclf.types import F32, Provider  # noqa: E402
from tools.lab.checkpoints import RATE, save_checkpoint  # noqa: E402

# an export takes seconds, and the first of a case is part of its first test
pytestmark = pytest.mark.timeout(300)
HOP, FIELD, PLACES, NEW = 320, 400, 79, 64
FRAMES = 15
WINDOW = (FRAMES - 1) * HOP + FIELD
RUNNING = Wishes(window_ms=FRAMES * 20, running_statistics=True)
TOLERANCE = 1e-4
# group norm with and without a bias, with and without a normalised input; layer norm with a normalised input
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "group": ("Wav2Vec2ForAudioFrameClassification", {}),
    "group, given level": ("WavLMForSequenceClassification", {"feat_extract_norm": "group", "conv_bias": True}),
    "layer": ("HubertForSequenceClassification", {"conv_bias": True}),
}


class Made:
    """The checkpoint and the pack of each case, made when they are first asked for: an export takes seconds."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._made: dict[str, tuple[Path, Path, ExportReport]] = {}

    def __getitem__(self, case: str) -> tuple[Path, Path, ExportReport]:
        if case not in self._made:
            architecture, changes = CASES[case]
            folder = save_checkpoint(architecture, self._base / architecture, **changes)
            out = self._base / f"{architecture}.pack"
            self._made[case] = (folder, out, export_checkpoint(folder, out, wishes=RUNNING))
        return self._made[case]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("running"))


def by_definition(case: str, folder: Path, audio: F32) -> list[F32]:
    """Probabilities (F, classes) of every whole window, 20 ms apart, by transformers' layers and numpy's averages."""
    architecture, _ = CASES[case]
    model = getattr(tr, architecture).from_pretrained(folder).eval()
    encoder = model.base_model.feature_extractor
    first, *others = encoder.conv_layers
    normalise = tr.AutoFeatureExtractor.from_pretrained(folder).do_normalize
    frames = (len(audio) - FIELD) // HOP + 1
    decay = np.exp(-2.0 / FRAMES)
    rows = []
    for frame in range(frames):
        oldest = max(0, frame - 2 * FRAMES + 1)
        heard = audio[oldest * HOP : frame * HOP + FIELD].astype(np.float64)
        if normalise:
            # a layer norm's encoder takes the samples one by one, a group norm's by the places of its kernel
            ages = frame - oldest - np.arange(len(heard)) // HOP
            weights = decay ** np.maximum(0, ages)
            mean = np.average(heard, weights=weights)
            heard = (heard - mean) / np.sqrt(np.average((heard - mean) ** 2, weights=weights) + 1e-7)
        samples = torch.from_numpy(heard.astype(np.float32))[None, None]
        if isinstance(first.layer_norm, torch.nn.GroupNorm):
            channels = first.conv(samples)[0].double().numpy()
            ages = frame - oldest - np.arange(channels.shape[1]) // NEW
            weights = decay ** np.maximum(0, ages)
            means = np.average(channels, axis=1, weights=weights)[:, None]
            variance = np.average((channels - means) ** 2, axis=1, weights=weights)[:, None]
            scaled = (channels[:, -PLACES:] - means) / np.sqrt(variance + first.layer_norm.eps)
            hidden = torch.from_numpy(scaled.astype(np.float32)) * first.layer_norm.weight[:, None]
            hidden = first.activation(hidden + first.layer_norm.bias[:, None])[None]
        else:
            hidden = first(samples[:, :, -FIELD:])
        for layer in others:
            hidden = layer(hidden)
        rows.append(hidden[:, :, 0])
    kept = torch.cat(rows)
    found = []
    for start in range((len(audio) - WINDOW) // HOP + 1):
        given = kept[start : start + FRAMES].T[None]
        encoder.forward = lambda _, given=given: given
        logits = model(input_values=torch.zeros(1, WINDOW)).logits
        chances = logits.sigmoid() if architecture.endswith("FrameClassification") else logits.softmax(dim=-1)
        found.append(chances.reshape(-1, chances.shape[-1]).numpy())
    return found


def engine(pack: Pack) -> Engine:
    return Engine([PackRunner(pack, Session(pack, provider=Provider.CPU))], options=TrackOptions(native=True))


def live(pack: Pack, audio: F32, sizes: tuple[int, ...]) -> list[F32]:
    """(F, classes) of every whole window, the signal in blocks of these sizes."""
    running = engine(pack)
    ends = np.cumsum(np.resize(sizes, len(audio)))
    blocks = np.split(audio, ends[ends < len(audio)])
    for _ in run_blocks(running, "s", rate=RATE, blocks=blocks, keep=True):
        pass
    native = running.tracks["s"][0].native
    assert native is not None
    assert [start for start, _ in native] == list(range(0, len(native) * HOP, HOP))
    return [rows for start, rows in native if start + WINDOW <= len(audio)]


def apart(a: list[F32], b: list[F32]) -> float:
    assert len(a) == len(b) > 10
    return max(float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_every_row_is_the_one_that_the_definition_gives(made: Made, case: str) -> None:
    folder, where, _ = made[case]
    # louder by and by, so that every frame has other statistics
    audio = signal(RATE, WINDOW + 45 * HOP) * np.linspace(0.1, 1.0, WINDOW + 45 * HOP, dtype=np.float32)
    with torch.inference_mode():
        expected = by_definition(case, folder, audio)
    pack = load_pack(where)
    rows = live(pack, audio, (1, 317, 1009, 4801, 160, 2, 3333))
    assert np.ptp(np.concatenate(expected), axis=0).max() > 0.05, "the model must have something to say"
    assert apart(rows, expected) < TOLERANCE
    assert apart(live(pack, audio, (len(audio),)), rows) < 1e-5
    assert apart(live(pack, audio, (HOP,)), rows) < 1e-5


def test_after_a_gap_statistics_begin_anew(made: Made) -> None:
    pack = load_pack(made["group"][1])
    after = signal(RATE, WINDOW + 20 * HOP, seed=2)
    running = engine(pack)
    ring = Ring(4 * RATE)
    running.add(Stream("s", rate=RATE, ring=ring))
    ring.write(np.float32(0.05) * signal(RATE, 60 * HOP, seed=1))
    ring.skip(2 * HOP, "xrun")
    ring.write(after)
    running.drain()
    running.finish("s")
    native = running.tracks["s"][0].native
    assert native is not None
    late = [rows for start, rows in native if 62 * HOP <= start <= 62 * HOP + len(after) - WINDOW]
    assert apart(late, live(pack, after, (777,))) < 1e-5


@pytest.mark.parametrize("case", ["group", "layer"])
def test_loudness_and_an_offset_leave_rows_as_they_are(made: Made, case: str) -> None:
    pack = load_pack(made[case][1])
    audio = signal(RATE, WINDOW + 20 * HOP)
    # a larger offset is removed before it comes here
    assert apart(live(pack, audio * np.float32(0.3) + np.float32(0.0009), (777,)), live(pack, audio, (777,))) < 5e-3


@pytest.mark.parametrize("case", CASES)
def test_the_pack_verifies_and_its_certificate_tells_the_loss(made: Made, case: str) -> None:
    _, where, report = made[case]
    pack = load_pack(where)
    features = pack.manifest.features
    assert isinstance(features, Encoded)
    assert (features.span, features.taps) == (2 * FRAMES, 1 if case == "layer" else 10)
    assert verify(pack).problems == []
    assert report.parity.worst < 1e-4
    assert report.receptive_field_ms == pytest.approx(1000 * (WINDOW + (2 * FRAMES - 1) * HOP) / RATE)
    held = report.agreement
    assert held is not None
    assert held.recordings == "birds_10s.flac"
    assert held.seconds == pytest.approx(10, abs=0.2)
    assert 0 < held.mean < held.worst <= 1
    assert 0.2 < held.top_1 < 1
    assert 0.2 < held.correlation < 1
    assert held.run_ms > 0 < held.anew_ms
    assert report.for_machines()["agreement"]["windows"] == held.windows == 100
    told = dict(lines(report))
    assert told["running statistics"].endswith("of birds_10s.flac, against the window run anew:")
    assert told["  saves"] == f"{held.saves:.1f}x: {held.run_ms:.2f} ms in place of {held.anew_ms:.2f} ms"
    assert "running statistics" in (where / "CARD.md").read_text()


def test_a_half_precision_variant_keeps_its_statistics_wide(made: Made, tmp_path: Path) -> None:
    folder, where, _ = made["group"]
    report = export_checkpoint(folder, tmp_path / "pack", wishes=RUNNING, variant="fp16")
    assert report.loss is not None
    assert report.loss.worst < 0.05
    quiet = signal(RATE, WINDOW + 20 * HOP) * np.float32(1e-3)
    assert apart(live(load_pack(tmp_path / "pack"), quiet, (777,)), live(load_pack(where), quiet, (777,))) < 0.05


def test_without_the_wish_the_window_is_run_anew_and_the_export_says_what_it_would_save(
    made: Made, tmp_path: Path
) -> None:
    folder, _, _ = made["group"]
    report = export_checkpoint(folder, tmp_path / "pack", wishes=Wishes(window_ms=FRAMES * 20))
    assert load_pack(tmp_path / "pack").manifest.features == Waveform(normalise="window")
    assert report.agreement is None
    (note,) = [note for note in report.notes if "--running-statistics" in note]
    assert "times less arithmetic" in note
    assert float(note.split(" would do ")[1].split()[0]) > 1.5


@pytest.mark.parametrize(
    ("architecture", "wishes", "changes", "reason"),
    [
        ("WavLMForSequenceClassification", {}, {}, "rest on their own samples alone"),
        ("WhisperForAudioClassification", {}, {}, "no convolutional encoder of samples"),
        ("Wav2Vec2ForCTC", {"one_graph": True}, {}, "--one-graph runs the encoder with every window"),
        (
            "Wav2Vec2ForSequenceClassification",
            {},
            {"conv_stride": (5, 2, 2, 2, 2, 2, 4)},
            "frames of 640 samples do not divide 20 ms",
        ),
    ],
)
def test_where_nothing_rests_on_the_window_the_wish_is_refused(
    architecture: str, wishes: dict[str, Any], changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    folder = save_checkpoint(architecture, tmp_path / "checkpoint", **changes)
    with pytest.raises(UsageError, match=reason):
        export_checkpoint(folder, tmp_path / "pack", wishes=Wishes(running_statistics=True, **wishes))
    assert not (tmp_path / "pack").exists()


def test_too_little_sound_to_measure_on_is_told_before_anything_is_made(made: Made, tmp_path: Path) -> None:
    folder, _, _ = made["group"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds 0 s of sound, less than a window of 0.3 s"):
        export_checkpoint(folder, tmp_path / "pack", wishes=RUNNING, measure_on=tmp_path / "empty")
    with pytest.raises(UsageError, match="belong to running statistics"):
        export_checkpoint(folder, tmp_path / "pack", measure_on=tmp_path / "empty")
