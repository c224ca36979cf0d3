"""Makes checkpoints of every exportable class: a few thousand random weights, saved as a user would find them.

The weights are larger than a fresh model's, so that the classes' probabilities differ from each other and from window
to window: a wrong sample, a shifted frame or another normalisation shows.
"""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from streamclf.train.data.tasks import Task
from streamclf.train.export.certificate import ExportReport
from streamclf.train.export.checkpoint import export_checkpoint
from streamclf.train.export.parity import signal
from streamclf.train.families import families, family_of
from streamclf.train.families.family import Plan, Wishes
from streamclf.train.families.image import channels_of
from streamclf.train.fit.ours import OwnNet, Shaping
from streamclf.train.pretrained import load_checkpoint
from tools.lab.tinyconfigs import SPEECH, TINY

tr: Any = transformers  # most of its constructors have no types

RATE = 16_000
LABELS = ("Dog bark", "Rain", "Ocean waves", "Ocean waves")
LETTERS = ("<pad>", "<unk>", "|", *"abcdefghij")
TOKENS = ("<pad>", "<unk>", "|", "E", "e", "'", "Ç")
LOGMEL = {
    "rate": RATE,
    "window": 9_840,
    "layout": "bands-time",
    "features": {
        "frame_length": 400,
        "frame_shift": 160,
        "fft_size": 512,
        "bands": 32,
        "low_hz": 50.0,
        "high_hz": 7500.0,
        "mel_scale": "htk",
        "log_offset": 0.001,
        "mean": -4.0,
        "scale": 3.0,
    },
}
SQUARE = {"CLIP": 32, "MetaClip2": 32, "Siglip": 32, "Pvt": 32, "Levit": 64, "MobileViTV2": 64}
"""Classes that take images of the size they were made for, and of how many pixels either way."""


def save_checkpoint(
    architecture: str,
    folder: Path,
    *,
    seed: int = 0,
    image: dict[str, Any] | None = None,
    extractor: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    **changes: Any,
) -> Path:
    """A checkpoint of that class in `folder`: config, weights, and preprocessor_config.json (vocab.json for CTC).

    image: what an image model's log-mel is made of, by default `LOGMEL`. extractor: settings of
    preprocessor_config.json over those here. dtype: of the weights that are saved. changes: of the model's
    configuration, over the tiny one here.
    """
    torch.manual_seed(seed)
    model = _build(architecture, changes)
    _enlarge(model)
    model.save_pretrained(folder)
    _extractor(architecture, model.config).save_pretrained(folder)
    edit(folder / "preprocessor_config.json", **(extractor or {}))
    if "ForImageClassification" in architecture:
        edit(folder / "preprocessor_config.json", streamclf=image or _picture(architecture))
    if architecture.endswith("ForCTC"):
        (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(TOKENS)}))
        (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<pad>", "word_delimiter_token": "|"}))
    _spread(model, folder)
    model.to(dtype).save_pretrained(folder)
    return folder


def _picture(architecture: str) -> dict[str, Any]:
    """What an image class's log-mel is made of."""
    features: Any = LOGMEL["features"]
    side = next((side for kind, side in SQUARE.items() if architecture.startswith(f"{kind}For")), None)
    if side is None:
        return LOGMEL
    return {**LOGMEL, "window": (side - 1) * 160 + 400, "features": {**features, "bands": side}}


COMMON = (
    *("ASTForAudioClassification", "WhisperForAudioClassification"),
    *("ResNetForImageClassification", "ConvNextForImageClassification", "ViTForImageClassification"),
    *(
        f"{kin}For{head}"
        for kin in ("Wav2Vec2", "Hubert", "WavLM", "Data2VecAudio", "UniSpeechSat", "Wav2Vec2Bert")
        for head in ("SequenceClassification", "AudioFrameClassification", "CTC")
    ),
    *("SEWForSequenceClassification", "SEWForCTC"),
)
"""The classes that all tests of an export go through; the others share its ways, and are tried by one each."""


def classes() -> list[str]:
    """Every architecture that can be exported."""
    return [name for family in families() for name in family.classes]


def exported(architecture: str, base: Path) -> tuple[Path, Path, ExportReport]:
    """A checkpoint, the pack made of it and the export's report; made once for all tests that share `base`."""
    key = (architecture, base)
    if key not in _DONE:
        folder = save_checkpoint(architecture, base / architecture)
        pack = base / f"{architecture}.pack"
        _DONE[key] = (folder, pack, export_checkpoint(folder, pack))
    return _DONE[key]


_DONE: dict[tuple[str, Path], tuple[Path, Path, ExportReport]] = {}


OWN = {"crnn": 20, "tcn": 20, "transformer": 100}
"""The project's own causal nets and the ms between two of their runs."""


def own_pack(arch: str, folder: Path) -> tuple[OwnNet, ExportReport]:
    """A small net of `OWN` with random weights, and the report of the pack that `folder` now holds."""
    torch.manual_seed(1)
    task = Task(labels=("a", "b", "c"), exclusive=False)
    own = OwnNet(arch, task, window_s=4.0, shaping=Shaping(width=32, bands=16, chunk_ms=OWN[arch]))
    own.normalise(lambda *_: (-9.0, 4.0))
    with torch.no_grad():
        for weight in own.net.parameters():
            weight.mul_(2.0 if weight.dim() > 1 else 1.0)
    own.net.eval()
    return own, own.export(folder, task, name=arch, licence="", card="", say=lambda _: None)


def edit(path: Path, *, remove: tuple[str, ...] = (), **values: Any) -> None:
    """Change keys of a JSON file."""
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({key: value for key, value in (content | values).items() if key not in remove}))


def _build(architecture: str, changes: dict[str, Any]) -> Any:
    if architecture == "HubertForAudioFrameClassification":
        from streamclf.train.families.hubert import HubertForAudioFrameClassification

        return HubertForAudioFrameClassification(_config(tr.HubertConfig, SPEECH, changes))
    kind = getattr(tr, "ClapAudioModelWithProjection" if architecture == "ClapModel" else architecture)
    settings = next(part for name, part in TINY.items() if architecture.startswith(name))
    return kind(_config(kind.config_class, settings, changes))


def _config(kind: Any, settings: dict[str, Any], changes: dict[str, Any]) -> Any:
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": {}, "vocab_size": len(TOKENS), "pad_token_id": 0}
    return kind(**{**labels, **settings, **changes})


def _extractor(architecture: str, config: Any) -> Any:
    if architecture.startswith("Parakeet"):
        return tr.ParakeetFeatureExtractor(feature_size=config.encoder_config.num_mel_bins)
    if architecture.startswith("Lasr"):
        return tr.LasrFeatureExtractor(feature_size=config.encoder_config.num_mel_bins)
    if architecture.startswith("OmniASR"):
        return tr.OmniASRFeatureExtractor()
    if architecture.startswith("Clap"):
        return tr.ClapFeatureExtractor(
            feature_size=config.num_mel_bins,
            sampling_rate=RATE,
            hop_length=RATE // 64,
            max_length_s=2,
            frequency_max=RATE // 2,
            truncation="rand_trunc",
        )
    if architecture.startswith("Wav2Vec2Bert"):
        return tr.SeamlessM4TFeatureExtractor(feature_size=80, num_mel_bins=80, sampling_rate=RATE, stride=2)
    if architecture.startswith("Whisper"):
        return tr.WhisperFeatureExtractor(feature_size=80, chunk_length=config.max_source_positions // 50)
    if architecture.startswith("AST"):
        return tr.ASTFeatureExtractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length)
    if "ForImageClassification" in architecture:
        from transformers.image_processing_utils import BaseImageProcessor

        colours = [0.1, -0.2, 0.3][: channels_of(config)]
        return BaseImageProcessor(do_normalize=True, image_mean=colours, image_std=[0.8, 1.0, 1.3][: len(colours)])
    layered = getattr(config, "feat_extract_norm", "") == "layer"
    return tr.Wav2Vec2FeatureExtractor(
        sampling_rate=RATE, do_normalize=not architecture.startswith("WavLM"), return_attention_mask=layered
    )


def _enlarge(model: Any) -> None:
    """Weights with the spread that keeps a signal's size through the layers."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "parametrizations" not in name:
                weight.normal_(0.0, 1.3 / weight[0].numel() ** 0.5)
        for part in model.modules():
            # some classes begin with next to nothing here, which layer upon layer leaves no signal
            if isinstance(part, torch.nn.BatchNorm2d) and float(part.weight.mean()) < 0.5:
                part.weight.fill_(1.0)


def _spread(model: Any, folder: Path) -> None:
    """Shift and scale the head so that logits have a mean of 0 and a deviation of 1.5 over windows of sound."""
    plan = plan_of(folder)
    if plan.beside:
        return
    audio = signal(plan.rate, plan.window * 12).reshape(12, plan.window)
    logits = plan.reference(audio).reshape(-1, len(plan.names))
    gain = float(1.5 / logits.std(axis=0).mean())
    heads = [part for part in model.modules() if isinstance(part, torch.nn.Linear | torch.nn.Conv1d)]
    with torch.no_grad():
        for head in heads:
            if head.weight.shape[0] == len(plan.names) and head.bias is not None:
                head.weight *= gain
                head.bias.copy_((head.bias - torch.from_numpy(logits.mean(axis=0))) * gain)


def plan_of(folder: Path, wishes: Wishes | None = None) -> Plan:
    """How the exporter sees the checkpoint."""
    checkpoint = load_checkpoint(str(folder))
    return family_of(checkpoint).plan(checkpoint, wishes or Wishes())


def ctc_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A tiny Wav2Vec2ForCTC with dropout, dropped layers and time masks: training draws from every generator."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({letter: at for at, letter in enumerate(LETTERS)}))
    tokenizer = tr.Wav2Vec2CTCTokenizer(
        str(folder / "vocab.json"), pad_token="<pad>", unk_token="<unk>", word_delimiter_token="|"
    )
    tokenizer.save_pretrained(folder)
    tr.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=False).save_pretrained(folder)
    config = tr.Wav2Vec2Config(
        vocab_size=len(LETTERS),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(12,) * 7,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        hidden_dropout=0.1,
        layerdrop=0.2,
        mask_time_prob=0.2,
        mask_time_length=3,
        pad_token_id=0,
    )
    torch.manual_seed(seed)
    tr.Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder
