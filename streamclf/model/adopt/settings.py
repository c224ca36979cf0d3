"""Features that a user states as KEY=VALUE, in the words of pack.toml or in those of librosa and torch."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from streamclf.errors import UsageError
from streamclf.features.spec import Image, LogMel, Waveform
from streamclf.text import one_line

_WORDS = {
    "n_fft": "fft_size",
    "hop_length": "frame_shift",
    "hop": "frame_shift",
    "win_length": "frame_length",
    "n_mels": "bands",
    "fmin": "low_hz",
    "f_min": "low_hz",
    "fmax": "high_hz",
    "f_max": "high_hz",
    "amin": "log_floor",
    "size": "pixels",
    "norm": "mel_norm",
    "eps": "log_offset",
    "normalize": "normalise",
}
"""What librosa, torchaudio and people call a key."""
_Kind = TypeVar("_Kind", bound=msgspec.Struct)
IMAGENET = {"channel_mean": (0.485, 0.456, 0.406), "channel_scale": (0.229, 0.224, 0.225)}


def image_features(pairs: Sequence[str], rate: int) -> Image:
    """A picture: what `pairs` leave open is as librosa.feature.melspectrogram and power_to_db have it by default, but
    for top_db, which cuts nothing off unless it is stated. rate: in Hz. Raises `UsageError`."""
    stated = _translated(_pairs(pairs, "--image"))
    fft_size = stated.get("fft_size", 2048)
    high = 0.5 * rate if stated.get("high_hz") in (None, "None") else stated["high_hz"]
    values: dict[str, Any] = {
        "fft_size": fft_size,
        "frame_length": fft_size,
        "frame_shift": 512,
        "bands": 128,
        "low_hz": 0.0,
        "mel_scale": "slaney",
        "mel_norm": "slaney" if stated.get("mel_scale", "slaney") == "slaney" else "none",
        "padding": "zeros",
        "log": "db",
        **({} if {"log_floor", "log_offset"} & set(stated) else {"log_floor": 1e-10}),
        **stated,
        "high_hz": high,
    }
    return _made(Image, values, "--image")


def logmel_features(pairs: Sequence[str], rate: int) -> LogMel:
    """Frames by themselves. What `pairs` leave open and a pack must state is an error. Raises `UsageError`."""
    stated = _translated(_pairs(pairs, "--logmel"))
    if "fft_size" in stated:
        stated.setdefault("frame_length", stated["fft_size"])
    elif "frame_length" in stated:
        stated["fft_size"] = stated["frame_length"]
    if stated.get("high_hz") in (None, "None"):
        stated["high_hz"] = 0.5 * rate
    stated.setdefault("low_hz", 0.0)
    return _made(LogMel, stated, "--logmel")


def waveform_features(pairs: Sequence[str]) -> Waveform:
    """The samples themselves. Raises `UsageError`."""
    return _made(Waveform, dict(_pairs(pairs, "--waveform")), "--waveform")


def _pairs(pairs: Sequence[str], option: str) -> dict[str, str]:
    """Of `a=1` and `b=2`, or of `a=1,b=2`."""
    found: dict[str, str] = {}
    for entry in (part for pair in pairs for part in _parts(pair)):
        key, sign, value = entry.partition("=")
        if not sign or not key.strip() or not value.strip():
            raise UsageError(f"{option} is {one_line(entry)[:60]!r}; expected KEY=VALUE, such as n_mels=64")
        found[key.strip().lower().replace("-", "_")] = value.strip()
    return found


def _parts(pair: str) -> list[str]:
    """`a=1,b=0.4,0.5` is `a=1` and `b=0.4,0.5`: a part without a sign belongs to the one before."""
    parts: list[str] = []
    for part in pair.split(","):
        if "=" in part or not parts:
            parts.append(part)
        else:
            parts[-1] += f",{part}"
    return parts


def _translated(stated: Mapping[str, str]) -> dict[str, Any]:
    """In the words of the schema."""
    out: dict[str, Any] = {}
    for key, value in stated.items():
        word = _WORDS.get(key, key)
        lower = value.lower()
        if key == "htk":
            out["mel_scale"] = "htk" if _yes(lower) else "slaney"
        elif key == "center":
            out["padding"] = _padding(stated.get("pad_mode", "constant")) if _yes(lower) else "none"
        elif key == "pad_mode":
            out.setdefault("padding", _padding(value))
        elif key == "power":
            out["spectrum"] = {"1": "magnitude", "1.0": "magnitude", "2": "power", "2.0": "power"}.get(value, value)
        elif key == "colours" and lower == "imagenet":
            out |= IMAGENET
        elif word == "ref":
            out["ref"] = {"1": "one", "1.0": "one", "np.max": "max"}.get(lower, lower)
        elif word == "pixels":
            out["pixels"] = _size(value)
        elif word in ("channel_mean", "channel_scale"):
            out[word] = tuple(value.replace(";", ",").strip("[]()").split(","))
        elif word in ("deltas", "bytes", "flip", "antialias"):
            out[word] = _yes(lower)
        else:
            out[word] = "none" if value == "None" and word != "high_hz" else value
    return out


def _padding(value: str) -> str:
    return "zeros" if value.lower() in ("constant", "zeros") else value


def _size(value: str) -> tuple[int, ...]:
    sides = value.lower().replace("x", ",").strip("[]()").split(",")
    if not 1 <= len(sides) <= 2 or not all(side.strip().isdigit() for side in sides):
        raise UsageError(f"size is {value[:40]!r}; expected HEIGHTxWIDTH in pixels, such as 224x224")
    numbers = tuple(int(side) for side in sides)
    return numbers * 2 if len(numbers) == 1 else numbers


def _yes(value: str) -> bool:
    if value not in ("true", "false", "1", "0", "yes", "no"):
        raise UsageError(f"a setting is {value[:40]!r}; expected true or false")
    return value in ("true", "1", "yes")


def _made(kind: type[_Kind], values: Mapping[str, Any], option: str) -> _Kind:
    keys = {field.encode_name for field in msgspec.structs.fields(kind)}
    if unknown := sorted(set(values) - keys):
        known = ", ".join(sorted(keys | (set(_WORDS) if kind is not Waveform else set())))
        raise UsageError(f"{option} has no setting {unknown[0]!r}; take one of {known}")
    required = [field.encode_name for field in msgspec.structs.fields(kind) if field.required]
    if missing := [key for key in required if key not in values]:
        raise UsageError(f"{option} does not say {', '.join(missing)}; state each as KEY=VALUE, for none is guessed")
    tag = kind.__struct_config__.tag
    try:
        return msgspec.convert({**values, "kind": tag}, kind, strict=False)
    except msgspec.ValidationError as fault:
        said = str(fault)
        raise UsageError(f"{option} cannot be used: {said[:1].lower()}{said[1:]}; correct it") from None
