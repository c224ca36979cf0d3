"""Classes that transformers calls classifiers of sounds or images and no family here exports, each with its reason.

A test holds this list and the families' against transformers' own mappings: whatever it adds must be in one of them.
"""

from streamclf.train.families.trained import arch_of

REFUSED = {
    "Nemotron3DiarizationForAudioFrameClassification": (
        "numbers speakers by their first word in what it hears, so that two windows of one stream call the same voice "
        "by different numbers"
    ),
    "GraniteSpeech5ForCTC": "has an extractor made by torchaudio, whose spectra nothing here can be held against",
    "BitForImageClassification": (
        "standardises its weights at every run by an operator that ONNX Runtime computes otherwise, 0.1 off"
    ),
    "DinatForImageClassification": "needs natten's own kernels, which no ONNX graph can hold",
    "ImageGPTForImageClassification": "reads images as tokens of colours, which a spectrogram has not",
    "PPLCNetForImageClassification": "gives its last layer and no logits",
    "PerceiverForImageClassificationConvProcessing": "hears images of 224x224 pixels alone, by positions in its code",
    "PerceiverForImageClassificationFourier": "hears images of 224x224 pixels alone, by positions in its code",
    "PerceiverForImageClassificationLearned": "hears images of 224x224 pixels alone, by positions in its code",
    "ShieldGemma2ForImageClassification": "judges a photograph by a policy in words and has no classes of its own",
    "Siglip2ForImageClassification": "takes a list of patches with their places in place of an image",
}
"""Each reason goes on from the class's name."""

# what has learnt to hear and not to name: `streamclf train --from` begins with it
_BARE = ("Model", "ForPreTraining", "ForMaskedLM", "ForConditionalGeneration")


def reason(architecture: str, source: str, model_type: str) -> str:
    """Why the class cannot be exported and what to do, going on from its name; "" where it is not known here."""
    if architecture in REFUSED:
        return f"{REFUSED[architecture]}; export another class (`streamclf export --families` lists them)"
    arch = arch_of(model_type)
    if arch and architecture.endswith(_BARE):
        return (
            "is an encoder without a head for classes; put one on it with recordings of yours: `streamclf train --from "
            f"{source} --arch {arch} --mode sequence --data RECORDINGS --out PACK`"
        )
    return ""
