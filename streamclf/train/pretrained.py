"""A transformers checkpoint, from a local folder or the Hugging Face hub, and what its files say of it.

Nothing of a checkpoint is executed: no remote code, and weights that are a pickle are read by torch's own reader of
tensors alone. Every fault of a checkpoint becomes one sentence.
"""

import contextlib
import importlib.util
import json
import logging as log
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamclf.errors import StreamclfError, UsageError
from streamclf.model.otherkinds import advice
from streamclf.text import one_line
from streamclf.train import adapter

PREPROCESSOR = "preprocessor_config.json"
_PROCESSOR = "processor_config.json"
_CONFIG = "config.json"
_TIMM = "timm_wrapper"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_NOISY = (
    *("torch.onnx", "torch.export", "torch.__trace", "onnxscript", "onnx_ir", "onnxruntime"),
    *("transformers", "huggingface_hub", "root"),
)
# made anew at every training step, without any effect on a prediction
_HARMLESS = ("masked_spec_embed",)


class CheckpointError(StreamclfError):
    """A checkpoint cannot be found, read or made into a pack."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """source: as the user wrote it. config: transformers' own, or what the family made of config.json.

    architecture: the class that it was trained in. settings: of preprocessor_config.json, or empty. adapter: of
    adapter_config.json, None where no adapter lies beside the weights.
    """

    source: str
    config: Any
    architecture: str
    settings: dict[str, Any]
    local_only: bool
    adapter: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The last part of the source: never the folders above, which are nobody's business."""
        return Path(self.source).resolve().name if Path(self.source).exists() else self.source.rsplit("/", 1)[-1]

    @property
    def origin(self) -> str:
        """Where it came from, in words that may be published."""
        return f"a local folder {self.name}" if Path(self.source).exists() else f"Hugging Face {self.source}"

    def setting(self, key: str) -> Any:
        """A value of preprocessor_config.json. Raises `CheckpointError` where it is missing."""
        if self.settings.get(key) is None:
            where = f"has no {PREPROCESSOR}" if not self.settings else f"states no `{key}` in its {PREPROCESSOR}"
            raise CheckpointError(
                f"{self.source} {where}; expected the `{key}` that its model was trained with, so save the feature "
                "extractor beside the weights (`save_pretrained`)"
            )
        return self.settings[key]

    def whole(self, key: str) -> int:
        """A positive whole number of preprocessor_config.json. Raises `CheckpointError`."""
        value = self.setting(key)
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise CheckpointError(
                f"`{key}` in the {PREPROCESSOR} of {self.source} is {value!r}; expected a whole number over 0, so "
                "correct it"
            )
        return value

    def model(self, kind: Any, *, config: Any = None, unused: tuple[str, ...] = ()) -> Any:
        """The weights in transformers' class `kind`, float32, for inference. Raises `CheckpointError`.

        config: in place of the checkpoint's own, for a part of it. unused: weights that no prediction looks at.
        """
        import torch

        model, report = self.load(
            kind,
            self.config if config is None else config,
            attn_implementation="eager",
            dtype=torch.float32,
        )
        mismatched = sorted(entry for entry in report["mismatched_keys"] if entry[0] not in unused)
        for key, found, expected in mismatched:
            raise CheckpointError(
                f"{key} of {self.source} has the shape {list(found)}, but its config.json asks for {list(expected)}; "
                "the labels or sizes in it do not match the weights, so correct them"
            )
        missing = sorted(key for key in report["missing_keys"] if not key.endswith((*_HARMLESS, *unused)))
        if missing:
            raise CheckpointError(
                f"{self.source} lacks {len(missing)} weights of {self.architecture}, {missing[0]} among them; "
                "they would be random, so train it first (`streamclf train --from`)"
            )
        return model.eval()

    def load(self, kind: Any, config: Any, **more: Any) -> tuple[Any, dict[str, Any]]:
        """The weights in transformers' class `kind`, an adapter beside them merged, and its report of what fits not.

        more: for `from_pretrained`. Raises `CheckpointError`.
        """
        held: dict[str, Any] = {"pretrained_model_name_or_path": self.source}
        if self.adapter is not None:
            held = {"pretrained_model_name_or_path": None, "state_dict": self._merged(self.adapter)}
        try:
            with quiet():
                model, report = kind.from_pretrained(
                    **held,
                    **more,
                    config=config,
                    local_files_only=self.local_only,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,
                )
        except Exception as fault:  # readers of several formats raise what they like
            raise CheckpointError(
                f"the weights of {self.source} cannot be loaded as {kind.__name__}: {first_sentence(fault)}; "
                "fetch it again, or save it again with the class it was trained in"
            ) from fault
        return model, report

    def _merged(self, config: dict[str, Any]) -> dict[str, Any]:
        try:
            return adapter.merge(self.weights(), self.weights(adapter.WEIGHTS), config)
        except adapter.AdapterError as fault:
            raise CheckpointError(
                f"an adapter lies beside the weights of {self.source} ({adapter.CONFIG}), and it cannot be merged "
                f"here: {fault}; merge it first (`merge_and_unload` of peft) and save that, or take the file away"
            ) from fault

    @property
    def rate(self) -> int | None:
        """Hz of what it was trained to hear, None where its settings do not say."""
        own = self.settings.get("streamclf")
        stated = own.get("rate") if isinstance(own, dict) else None
        stated = self.settings.get("sampling_rate") if stated is None else stated
        return stated if isinstance(stated, int) and not isinstance(stated, bool) and stated > 0 else None

    def extractor(self) -> Any:
        """Transformers' own feature extractor of the checkpoint. Raises `CheckpointError`."""
        import transformers

        auto: Any = transformers.AutoFeatureExtractor
        try:
            with quiet():
                return auto.from_pretrained(self.source, local_files_only=self.local_only, trust_remote_code=False)
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise CheckpointError(
                f"the {PREPROCESSOR} of {self.source} cannot be used: {first_sentence(fault)}; "
                "save the feature extractor again beside the weights (`save_pretrained`)"
            ) from fault

    def names(self) -> tuple[str, ...]:
        """The classes' names in the order of the output, from `id2label`. Raises `CheckpointError`."""
        table = {int(index): str(name) for index, name in (self.config.id2label or {}).items()}
        if sorted(table) != list(range(len(table))) or not table:
            raise CheckpointError(
                f"`id2label` of {self.source} numbers its {len(table)} classes {_shown(sorted(table))}; "
                "expected 0, 1, 2 and on without a hole, so correct config.json"
            )
        return tuple(table[index] for index in range(len(table)))

    def file(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the checkpoint, None where it has none."""
        return _json(self.source, name, local_only=self.local_only)

    def weights(self, name: str = "model.safetensors") -> dict[str, Any]:
        """The tensors of a file of the checkpoint, by name: for models that transformers does not know.

        Raises `CheckpointError`.
        """
        from safetensors.torch import load_file

        path = _cached(self.source, name, local_only=self.local_only)
        if path is None:
            raise CheckpointError(f"{self.source} has no {name}; expected the weights there, so save it again")
        try:
            tensors: dict[str, Any] = load_file(path)
        except Exception as fault:  # of the reader's own kinds
            raise CheckpointError(f"{name} of {self.source} cannot be read: {first_sentence(fault)}") from fault
        return tensors

    def licence(self) -> str:
        """What the model card's header states."""
        path = _cached(self.source, "README.md", local_only=self.local_only)
        text = path.read_text(encoding="utf-8", errors="replace") if path else ""
        found = re.match(r"---\s*\n(?:.*\n)*?licen[sc]e:\s*([\w.+ -]{1,80}?)\s*\n", text)
        return found[1] if found else "not stated by the checkpoint"


def load_checkpoint(source: str, *, offline: bool = False) -> Checkpoint:
    """Configuration and preprocessor settings of `source`: a folder, or a model id of the Hugging Face hub.

    offline: look into the local cache alone. Raises UsageError where it can be neither, `CheckpointError` where it
    cannot be read or is not a model that a family or transformers knows.
    """
    here = Path(source).expanduser()
    if here.exists():
        if known := advice(here):
            raise UsageError(f"{source} {known}")
        if not here.is_dir():
            raise UsageError(f"{source} is a file; a checkpoint is the folder that holds config.json and the weights")
        source = str(here)
        _not_an_adapter_alone(here)
    elif not _HUB_ID.fullmatch(source):
        raise UsageError(
            f"{source} is neither a folder that exists nor a model id such as facebook/wav2vec2-base-960h; name one"
        )
    local_only = offline or here.is_dir()
    config = _config(source, local_only=local_only)
    classes: Sequence[str] = getattr(config, "architectures", None) or ()
    if not classes and config.model_type == _TIMM:
        classes = ("TimmWrapperForImageClassification",)
    if not classes:
        raise CheckpointError(
            f"the config.json of {source} states no `architectures`; expected the class it was trained in, so save it "
            "with `save_pretrained`"
        )
    return Checkpoint(
        source=source,
        config=config,
        architecture=classes[0],
        settings=_settings(source, local_only=local_only),
        local_only=local_only,
        adapter=_json(source, adapter.CONFIG, local_only=local_only),
    )


def _not_an_adapter_alone(folder: Path) -> None:
    """Raises `CheckpointError` for what peft's `save_pretrained` writes: an adapter without what it adapts."""
    weights = ("model*.safetensors", "pytorch_model*.bin")
    if not (folder / adapter.CONFIG).is_file() or any(any(folder.glob(pattern)) for pattern in weights):
        return
    base = (_json(str(folder), adapter.CONFIG, local_only=True) or {}).get("base_model_name_or_path")
    raise CheckpointError(
        f"{folder} holds an adapter without the weights that it adapts; put the config.json, "
        f"preprocessor_config.json and model.safetensors of its base{f' ({base})' if base else ''} beside it, or save "
        "it merged (`merge_and_unload` of peft)"
    )


def _config(source: str, *, local_only: bool) -> Any:
    """What config.json says, read by the family that says it can, else by transformers."""
    from transformers import AutoConfig

    from streamclf.train.families import family_reading  # here, because families are made of checkpoints

    try:
        stated = _json(source, _CONFIG, local_only=local_only) or {}
    except CheckpointError:
        stated = {}  # transformers says why, better
    family = family_reading(stated)
    # what timm itself saves states no type, but how it was trained
    if family is None and (stated.get("model_type") == _TIMM or {"architecture", "pretrained_cfg"} <= stated.keys()):
        _need_timm(source)
    try:
        with quiet():
            if family is not None and family.config is not None:
                return family.config(stated)
            return AutoConfig.from_pretrained(source, local_files_only=local_only, trust_remote_code=False)
    except Exception as fault:  # configurations check themselves, each in its way
        advice = (
            "give the folder that `save_pretrained` wrote"
            if Path(source).is_dir()
            else "check the id and the network, or download it first and give the folder"
        )
        raise CheckpointError(f"no model can be read from {source}: {first_sentence(fault)}; {advice}") from fault


def _need_timm(source: str) -> None:
    if importlib.util.find_spec("timm") is None:
        raise CheckpointError(
            f"{source} is a model of timm, which is not installed; install it where streamclf is (`pip install timm`)"
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep other people's progress bars, log lines and warnings off the terminal."""
    from transformers.utils import logging

    chatter: Any = logging
    bars = chatter.is_progress_bar_enabled()
    levels = {name: log.getLogger(name).level for name in _NOISY}
    chatter.disable_progress_bar()
    for name in _NOISY:
        log.getLogger(name).setLevel(log.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            log.getLogger(name).setLevel(level)
        if bars:
            chatter.enable_progress_bar()


def first_sentence(fault: BaseException) -> str:
    """The first sentence of an error of others, on one line, of a length that can be read."""
    text = one_line(str(fault), None) or type(fault).__name__
    return re.split(r"(?<=[a-z')\]])\.\s", text, maxsplit=1)[0][:240].rstrip(" .;:")


def _settings(source: str, *, local_only: bool) -> dict[str, Any]:
    settings = _json(source, PREPROCESSOR, local_only=local_only)
    if settings is None:
        nested = (_json(source, _PROCESSOR, local_only=local_only) or {}).get("feature_extractor")
        settings = nested if isinstance(nested, dict) else {}
    return settings


def _json(source: str, name: str, *, local_only: bool) -> dict[str, Any] | None:
    path = _cached(source, name, local_only=local_only)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise CheckpointError(f"{name} of {source} is not JSON ({fault}); save it again") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{name} of {source} holds no table of settings; save it again")
    return content


def _cached(source: str, name: str, *, local_only: bool) -> Path | None:
    from transformers.utils.hub import cached_file

    with quiet():
        try:
            found = cached_file(
                source,
                name,
                local_files_only=local_only,
                _raise_exceptions_for_gated_repo=False,
                _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=False,
            )
        except OSError:
            return None
    return None if found is None else Path(found)


def _shown(indexes: Sequence[int]) -> str:
    text = ", ".join(map(str, indexes[:6]))
    return f"{text}, …" if len(indexes) > 6 else text or "nowhere"
