"""LoRA adapters beside base weights: merged as peft's own formula says, or refused with the reason."""

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("transformers", reason="the extra `train` is not installed")

from safetensors.torch import load_file, save_file  # noqa: E402

from streamclf.train.adapter import AdapterError, merge  # noqa: E402
from streamclf.train.families import family_of  # noqa: E402
from streamclf.train.families.family import Wishes  # noqa: E402
from streamclf.train.pretrained import CheckpointError, load_checkpoint  # noqa: E402
from tools.lab.checkpoints import plan_of, save_checkpoint  # noqa: E402

QUERY = "wav2vec2.encoder.layers.0.attention.q_proj"
PREFIX = "base_model.model."
CONFIG: dict[str, Any] = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "target_modules": ["q_proj"]}


def lora(name: str = QUERY, *, rows: int = 4, columns: int = 3) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    down, up = torch.randn(2, columns, generator=generator), torch.randn(rows, 2, generator=generator)
    return {f"{PREFIX}{name}.lora_A.weight": down, f"{PREFIX}{name}.lora_B.weight": up}


@pytest.mark.parametrize(
    ("more", "scale"),
    [
        ({}, 3.0),
        ({"use_rslora": True}, 6 / 2**0.5),
        ({"alpha_pattern": {"q_proj": 1}}, 0.5),
        ({"alpha_pattern": {"k_proj": 1}}, 3.0),
    ],
)
def test_what_an_adapter_adds_is_added(more: dict[str, Any], scale: float) -> None:
    base = {f"{QUERY}.weight": torch.ones(4, 3), f"{QUERY}.bias": torch.ones(4), "classifier.weight": torch.ones(2, 4)}
    adapter = {**lora(), f"{PREFIX}classifier.weight": torch.full((2, 4), 5.0)}

    merged = merge(base, adapter, {**CONFIG, **more})

    down, up = (adapter[f"{PREFIX}{QUERY}.lora_{part}.weight"] for part in "AB")
    assert torch.allclose(merged[f"{QUERY}.weight"], 1 + scale * up @ down, atol=1e-5)
    assert torch.equal(merged["classifier.weight"], torch.full((2, 4), 5.0)), "a part that was trained whole"
    assert torch.equal(merged[f"{QUERY}.bias"], base[f"{QUERY}.bias"])
    assert torch.equal(base[f"{QUERY}.weight"], torch.ones(4, 3)), "the base stays as it was"


@pytest.mark.parametrize(
    ("config", "adapter", "sentence"),
    [
        ({"peft_type": "IA3"}, lora(), "of the kind 'IA3'"),
        ({**CONFIG, "use_dora": True}, lora(), "use_dora = True"),
        ({**CONFIG, "fan_in_fan_out": True}, lora(), "fan_in_fan_out = True"),
        (CONFIG, lora("elsewhere"), "elsewhere is not a linear layer of the base"),
        (CONFIG, lora(rows=5), "q_proj is not a linear layer"),
        (CONFIG, {f"{PREFIX}{QUERY}.lora_A.weight": torch.ones(2, 3)}, "q_proj is not a linear layer"),
        (CONFIG, {f"{PREFIX}classifier.weight": torch.ones(3, 4)}, "classifier.weight has no counterpart"),
        (CONFIG, {f"{PREFIX}{QUERY}.lora_magnitude_vector": torch.ones(4)}, "lora_magnitude_vector has no counterpart"),
    ],
)
def test_what_is_more_than_that_is_refused(config: dict[str, Any], adapter: dict[str, Any], sentence: str) -> None:
    base = {f"{QUERY}.weight": torch.ones(4, 3), "classifier.weight": torch.ones(2, 4)}
    with pytest.raises(AdapterError, match=sentence):
        merge(base, adapter, config)


def test_a_checkpoint_is_loaded_with_the_adapter_beside_it(tmp_path: Path) -> None:
    folder = save_checkpoint("Wav2Vec2ForSequenceClassification", tmp_path / "base")
    before = load_file(folder / "model.safetensors")[f"{QUERY}.weight"]
    adapter = lora(rows=32, columns=32)
    save_file(adapter, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG))

    after = plan_of(folder).module.model.wav2vec2.encoder.layers[0].attention.q_proj.weight

    down, up = adapter.values()
    assert torch.allclose(after, before + 3.0 * up @ down, atol=1e-5)

    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, "use_dora": True}))
    with pytest.raises(CheckpointError, match=r"an adapter lies beside .* use_dora = True; merge it first"):
        plan_of(folder)


def test_the_adapter_that_was_left_out_is_merged(shared: Path) -> None:
    folder = shared / "cases" / "checkpoints" / "with_lora_beside"
    base, adapter = (load_file(folder / f"{name}.safetensors") for name in ("model", "adapter_model"))
    checkpoint = load_checkpoint(str(folder))
    model = family_of(checkpoint).plan(checkpoint, Wishes()).module.model

    down, up = (adapter[f"{PREFIX}{QUERY}.lora_{part}.weight"] for part in "AB")
    expected = base[f"{QUERY}.weight"] + 8 / 4 * up @ down
    assert torch.allclose(model.wav2vec2.encoder.layers[0].attention.q_proj.weight, expected, atol=1e-6)
    assert float((expected - base[f"{QUERY}.weight"]).abs().max()) > 1e-3, "an adapter that adds nothing proves nothing"
