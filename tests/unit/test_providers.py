"""Execution providers: which work here, and what is said of one that does not."""

from pathlib import Path

import pytest

from streamclf.errors import ProviderError
from streamclf.model.loader import load_pack
from streamclf.model.providers import probe_providers
from streamclf.model.session import Session
from streamclf.types import Provider
from tools.lab.tinypack import window_row_pack


def test_cpu_works_and_every_other_provider_works_or_says_why_not(capfd: pytest.CaptureFixture[str]) -> None:
    found = probe_providers()

    assert found["cpu"] == ""
    assert set(found) == {"cpu", "cuda", "tensorrt"}
    assert all("\n" not in reason for reason in found.values())
    assert capfd.readouterr() == ("", ""), "the probe must keep the runtime's own lines to itself"


def test_auto_says_which_provider_it_took(tmp_path: Path) -> None:
    session = Session(load_pack(window_row_pack(tmp_path / "p")), provider=Provider.AUTO)

    assert session.provider == ("cpu" if probe_providers()["cuda"] else "cuda")


@pytest.mark.parametrize("provider", [Provider.CUDA, Provider.TENSORRT])
def test_a_provider_that_does_not_work_is_an_error_with_its_reason(tmp_path: Path, provider: Provider) -> None:
    reason = probe_providers()[provider]
    if not reason:
        pytest.skip(f"{provider} works on this machine")
    with pytest.raises(ProviderError) as caught:
        Session(load_pack(window_row_pack(tmp_path / "p")), provider=provider)

    assert reason in str(caught.value)
    assert "choose cpu or auto" in str(caught.value)
