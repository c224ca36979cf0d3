"""Checkpoints to begin with: transformers' architectures with random weights, small enough to be trained at home.

Each is saved as `save_pretrained` does, feature extractor included, so that from there on a net from scratch and one
from somebody's checkpoint are the same thing.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from streamclf.clock import hop_of
from streamclf.errors import UsageError
from streamclf.features.frontend import window_feature_frames
from streamclf.model.pack import Fbank, LogMel
from streamclf.train.data.tasks import Mode, Task
from streamclf.train.extra import need
from streamclf.train.families.speech import model_class
from streamclf.train.families.trained import IMAGES, SPEECH, WHOLE_WINDOWS, arch_of
from streamclf.train.fit.newhead import describe, save, target_class
from streamclf.train.fit.ours import Shaping, log_mel
from streamclf.train.pretrained import PREPROCESSOR, Checkpoint, load_checkpoint, quiet

Size = Literal["tiny", "small", "base"]
Measure = Callable[[LogMel | Fbank, int, int], tuple[float, float]]
"""(features, rate, window in samples) -> their mean and spread over the training part."""

ARCHS = {arch_of(kind): kind for kind in (*IMAGES, *WHOLE_WINDOWS, *SPEECH)}
"""What the command calls them, and their type in config.json."""
_FROM_ALONE = tuple(kind for kind in IMAGES if kind not in ("resnet", "convnext", "vit"))
"""Those that begin with a checkpoint: nobody has a size of them for a few recordings."""
DEFAULT_WINDOW_S = dict.fromkeys((*IMAGES, "ast"), 2.0)
"""Seconds of a window; all others take 1 s."""
_SPEECH_RATE = 16_000
_AST_BANDS = 128

SIZES: dict[str, tuple[int, int, int, int]] = {"tiny": (32, 1, 2, 16), "small": (192, 4, 4, 128)}
"""Width, layers, heads, channels of the convolutional part; `base` leaves all of it to transformers."""


def from_scratch(
    arch: str,
    folder: Path,
    task: Task,
    mode: Mode,
    *,
    size: Size,
    shaping: Shaping,
    window_s: float,
    measure: Measure,
) -> Checkpoint:
    """Save an architecture of `ARCHS` with random weights for `task` into `folder`, and load it.

    shaping: of log-mel images alone; the others hear 16 kHz as their makers laid down. window_s: what positions are
    made for.
    """
    kind = ARCHS[arch]
    name = target_class(kind, mode, arch)
    if arch in ("resnet", "convnext", "vit"):
        config, settings = _image(arch, size, shaping, window_s, measure)
    elif arch == "ast":
        config, settings = _ast(size, window_s, measure)
    elif arch == "whisper":
        config, settings = _whisper(size, window_s)
    elif arch == "wav2vec2-bert":
        config, settings = _seamless(size)
    else:
        config, settings = speech_config(arch, size)
    describe(config, task, mode)
    config.architectures = [name]
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        model = model_class(name)(config)
    save(model, folder)
    if isinstance(settings, Mapping):
        (folder / PREPROCESSOR).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    else:
        settings.save_pretrained(folder)
    return load_checkpoint(str(folder), offline=True)


def _image(arch: str, size: Size, shaping: Shaping, window_s: float, measure: Measure) -> tuple[Any, dict[str, Any]]:
    transformers = need("transformers")
    features = log_mel(shaping)
    hop = hop_of(shaping.rate)
    wanted = round(window_s * shaping.rate / hop) * hop
    frames = window_feature_frames(features, wanted)
    window = (frames - 1) * features.frame_shift + features.frame_length
    mean, scale = measure(features, shaping.rate, window)
    widths, depths = {
        "tiny": ([8, 16], [1, 1]),
        "small": ([32, 64, 128, 192], [1, 1, 2, 1]),
        "base": ([64, 128, 256, 512], [2, 2, 2, 2]),
    }[size]
    config: Any
    if arch == "resnet":
        config = transformers.ResNetConfig(
            num_channels=1, embedding_size=widths[0], hidden_sizes=widths, depths=depths, layer_type="basic"
        )
    elif arch == "convnext":
        config = transformers.ConvNextConfig(
            num_channels=1,
            patch_size=2,
            num_stages=len(widths),
            hidden_sizes=widths,
            depths=depths,
            drop_path_rate=0.1,
        )
    else:
        config = transformers.ViTConfig(
            num_channels=1, image_size=(features.bands, frames), patch_size=16, **_transformer(size)
        )
    table = msgspec.to_builtins(msgspec.structs.replace(features, mean=mean, scale=scale))
    del table["kind"]
    stated = {"rate": shaping.rate, "window": window, "layout": "bands-time", "features": table}
    return config, {"do_normalize": False, "streamclf": stated}


def _ast(size: Size, window_s: float, measure: Measure) -> tuple[Any, Any]:
    transformers = need("transformers")
    frames = round(window_s * 100) - 2
    features = Fbank(
        frame_length=400, frame_shift=160, bands=_AST_BANDS, high_hz=8000.0, window="hanning", htk_compat=True
    )
    mean, scale = measure(features, _SPEECH_RATE, (frames - 1) * 160 + 400)
    config = transformers.ASTConfig(max_length=frames, num_mel_bins=_AST_BANDS, **_transformer(size))
    with quiet():
        # its own extractor divides by twice the deviation
        extractor = transformers.ASTFeatureExtractor(
            max_length=frames, num_mel_bins=_AST_BANDS, mean=mean, std=scale / 2
        )
    return config, extractor


def _whisper(size: Size, window_s: float) -> tuple[Any, Any]:
    transformers = need("transformers")
    seconds = max(1, -int(-window_s // 1))
    config = transformers.WhisperConfig(max_source_positions=50 * seconds)
    if size != "base":
        width, layers, heads, _ = SIZES[size]
        config = transformers.WhisperConfig(
            max_source_positions=50 * seconds,
            d_model=width,
            encoder_layers=layers,
            decoder_layers=1,
            encoder_attention_heads=heads,
            decoder_attention_heads=heads,
            encoder_ffn_dim=2 * width,
            decoder_ffn_dim=2 * width,
            classifier_proj_size=width,
            vocab_size=64,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
        )
    return config, transformers.WhisperFeatureExtractor(chunk_length=seconds)


def _seamless(size: Size) -> tuple[Any, Any]:
    transformers = need("transformers")
    config = transformers.Wav2Vec2BertConfig(**_transformer(size), classifier_proj_size=_width(size))
    return config, transformers.SeamlessM4TFeatureExtractor()


def speech_config(arch: str, size: Size) -> tuple[Any, Any]:
    """Raw samples in; the feature encoder normalised layer by layer, so that its frames can be kept in a stream."""
    transformers = need("transformers")
    names = {
        "wav2vec2": "Wav2Vec2Config",
        "hubert": "HubertConfig",
        "wavlm": "WavLMConfig",
        "data2vec-audio": "Data2VecAudioConfig",
        "unispeech": "UniSpeechConfig",
        "unispeech-sat": "UniSpeechSatConfig",
        "wav2vec2-conformer": "Wav2Vec2ConformerConfig",
        "sew": "SEWConfig",
        "sew-d": "SEWDConfig",
    }
    more: dict[str, Any] = {"feat_extract_norm": "layer", "classifier_proj_size": _width(size)}
    if size != "base":
        channels = SIZES[size][3]
        strides = (5, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1) if arch in ("sew", "sew-d") else (5, 2, 2, 2, 2, 2, 2)
        more |= {"conv_dim": (channels,) * len(strides), "num_conv_pos_embedding_groups": 4}
        if arch != "data2vec-audio":
            # the default kernel alone looks 1.28 s ahead
            more["num_conv_pos_embeddings"] = 32
    if arch in ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat"):
        more["do_stable_layer_norm"] = True
    config = getattr(transformers, names[arch])(**_transformer(size), **more)
    return config, transformers.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=False)


def _transformer(size: Size) -> dict[str, Any]:
    if size == "base":
        return {}
    width, layers, heads, _ = SIZES[size]
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 2 * width,
    }


def _width(size: Size) -> int:
    return SIZES[size][0] if size != "base" else 256


def check_arch(arch: str, known: Mapping[str, Mode], *, source: str) -> None:
    """Raises UsageError for an architecture that is neither ours (`known`) nor one of `ARCHS`, or needs a `source`."""
    if arch not in known and arch not in ARCHS:
        raise UsageError(f"--arch {arch!r} is unknown; use one of {', '.join([*known, *ARCHS])}")
    if arch in _FROM_ALONE and not source:
        raise UsageError(f"--arch {arch} begins with a checkpoint; name one by --from, or take --arch resnet")
