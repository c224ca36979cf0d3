"""A family that somebody brings from outside the package, of models that transformers does not know."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("transformers", reason="the extra `train` is not installed")

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from streamclf.engine.verify import verify
from streamclf.errors import StreamclfError
from streamclf.model.loader import load_pack
from streamclf.model.pack import Waveform
from streamclf.train import families
from streamclf.train.export.checkpoint import export_checkpoint
from streamclf.train.families.family import Family, Plan, Wishes, activation_of
from streamclf.train.pretrained import Checkpoint, load_checkpoint
from streamclf.types import F32, Shape

RATE, WINDOW, BANDS = 8_000, 1_600, 6
NAMES = ("Rumble", "Hiss")


class FilterBank(nn.Module):
    """The energy of some filters, and a layer over it: the torch side of the toy."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.filters = nn.Parameter(weights["filters"])
        self.head = nn.Parameter(weights["head"])

    def forward(self, features: Tensor) -> Tensor:
        bands = nn.functional.conv1d(features[:, None, :], self.filters[:, None, :], stride=20)
        return bands.square().mean(dim=2).log1p() @ self.head


def plan(checkpoint: Checkpoint, wishes: Wishes) -> Plan:
    weights = checkpoint.weights()
    filters, head = weights["filters"].numpy().astype(np.float64), weights["head"].numpy().astype(np.float64)

    def reference(windows: F32) -> F32:
        parts = np.lib.stride_tricks.sliding_window_view(windows, filters.shape[1], axis=1)[:, ::20]
        logits: F32 = (np.log1p(np.square(parts @ filters.T).mean(axis=1)) @ head)[:, None, :].astype(np.float32)
        return logits

    activation, notes = activation_of(checkpoint, wishes, unset="sigmoid")
    return Plan(
        rate=checkpoint.whole("sampling_rate"),
        shape=Shape.WINDOW_ROW,
        window=checkpoint.config.window,
        features=Waveform(),
        module=FilterBank(weights),
        reference=reference,
        activation=activation,
        names=checkpoint.names(),
        notes=notes,
    )


FAMILY = Family(
    title="filter bank",
    output="one row a window",
    classes=("FilterBank",),
    plan=plan,
    config=lambda stated: SimpleNamespace(**stated),
)


@pytest.fixture
def family() -> Iterator[Family]:
    families.register(FAMILY)
    yield FAMILY
    families._families().remove(FAMILY)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    folder.mkdir()
    config: dict[str, Any] = {"model_type": "filter-bank", "architectures": ["FilterBank"], "window": WINDOW}
    config["id2label"] = dict(enumerate(NAMES))
    config["problem_type"] = "multi_label_classification"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": RATE}))
    torch.manual_seed(3)
    save_file({"filters": torch.randn(BANDS, 80), "head": torch.randn(BANDS, 2)}, folder / "model.safetensors")
    return folder


def test_a_family_from_outside_brings_its_own_reader_and_becomes_a_verified_pack(
    family: Family, checkpoint: Path, tmp_path: Path
) -> None:
    said: list[str] = []

    report = export_checkpoint(checkpoint, tmp_path / "pack", say=said.append)

    assert "FilterBank (filter bank, one row a window)" in said[0]
    assert report.architecture == "FilterBank"
    pack = load_pack(tmp_path / "pack")
    assert [label.name for label in pack.labels] == list(NAMES)
    assert verify(pack).problems == []


def test_what_its_checkpoint_lacks_is_said(family: Family, checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(StreamclfError, match=r"model.safetensors of .* cannot be read"):
        export_checkpoint(checkpoint, tmp_path / "pack")

    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(StreamclfError, match=r"has no model.safetensors; expected the weights there"):
        export_checkpoint(checkpoint, tmp_path / "pack")


def test_without_the_family_the_checkpoint_is_no_model(checkpoint: Path) -> None:
    with pytest.raises(StreamclfError, match="no model can be read from"):
        load_checkpoint(str(checkpoint))


def test_the_families_of_the_package_are_found_by_themselves() -> None:
    found = families.families()

    assert {"ASTForAudioClassification", "Wav2Vec2ForCTC"} <= {name for family in found for name in family.classes}
    assert len({name for family in found for name in family.classes}) == sum(len(family.classes) for family in found)
