"""The tools that make README's tables of exported classes print a row that can be read."""

import importlib
import re

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("transformers", reason="the extra `train` is not installed")

NAME = "ResNetForImageClassification"


@pytest.mark.parametrize(
    ("tool", "arguments", "row"),
    [
        (
            "export_table",
            ["--classes", f"{NAME},crnn"],
            rf"\| spectrogram ConvNet or ViT \| `{NAME}` \de-\d\d \| one row a window \| 295 ms \| feature frames \|\n"
            r"\| causal nets of `streamclf train` \| `crnn` \de-\d\d \| a row every 20 ms \| 0 ms \| state tensors \|",
        ),
        (
            "export_base_size",
            ["--tiny", "--classes", NAME],
            rf"\| {NAME} \| tiny \| 0\.0 M \| 615 ms \| \d\.\de-\d\d \| \d\.\d \| 20 ms \| 295 ms \|",
        ),
    ],
)
def test_a_row_is_printed(
    tool: str, arguments: list[str], row: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"tools.{tool}")
    monkeypatch.setattr("sys.argv", [tool, *arguments])
    module.main()
    assert re.search(row, capsys.readouterr().out)
