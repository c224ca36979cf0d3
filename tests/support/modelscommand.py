"""`streamclf models` within this process, with a folder of packs that is a test's own."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamclf.commands.models import models
from streamclf.errors import StreamclfError
from streamclf.model import library


def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of packs, empty, and nothing that ships."""
    monkeypatch.setenv("STREAMCLF_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(library, "shipped_models_dir", lambda: tmp_path / "shipped")
    return tmp_path / "models"


def call(*args: str) -> Result:
    """`streamclf models ARGS`."""
    return CliRunner().invoke(models, args, catch_exceptions=True)


def fault(*args: str) -> str:
    """The one sentence that the command line will show."""
    result = call(*args)
    assert isinstance(result.exception, StreamclfError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)
