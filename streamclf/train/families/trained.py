"""The models that a new head can be put on, by their type in config.json: what `streamclf train --from` takes."""

SPEECH = {
    "wav2vec2": "Wav2Vec2",
    "hubert": "Hubert",
    "wavlm": "WavLM",
    "data2vec-audio": "Data2VecAudio",
    "unispeech": "UniSpeech",
    "unispeech-sat": "UniSpeechSat",
    "wav2vec2-bert": "Wav2Vec2Bert",
    "wav2vec2-conformer": "Wav2Vec2Conformer",
    "sew": "SEW",
    "sew-d": "SEWD",
}
"""Speech encoders, and what the names of transformers' classes of them begin with."""
NO_FRAMES = ("unispeech", "sew", "sew-d")
"""Those for which transformers has no frame head."""
IMAGES = {
    "resnet": "ResNet",
    "convnext": "ConvNext",
    "vit": "ViT",
    "convnextv2": "ConvNextV2",
    "swin": "Swin",
    "deit": "DeiT",
    "efficientnet": "EfficientNet",
    "mobilenet_v2": "MobileNetV2",
    "regnet": "RegNet",
    "dinov2": "Dinov2",
}
"""Of log-mel images."""
WHOLE_WINDOWS = {
    **{kind: f"{name}ForImageClassification" for kind, name in IMAGES.items()},
    "audio-spectrogram-transformer": "ASTForAudioClassification",
    "whisper": "WhisperForAudioClassification",
}
"""Models of one row a window, and their class."""


def arch_of(model_type: str) -> str:
    """What `--arch` calls models of that type; "" where no new head can be put on them."""
    if model_type not in {**SPEECH, **WHOLE_WINDOWS}:
        return ""
    return "ast" if model_type == "audio-spectrogram-transformer" else model_type
