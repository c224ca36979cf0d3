"""Whatever the bytes are: every kept file, and some hundred that are made of them, are read or refused in a sentence.

`python -m tools.fuzz --seconds 600` goes on for longer and keeps what it finds here.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tools.fuzz.inputs import CORPUS, changed, kept
from tools.fuzz.targets import TARGETS, check

KEPT = [path.relative_to(CORPUS) for path in sorted(CORPUS.rglob("*")) if path.is_file()]


def test_every_target_has_files_to_begin_with() -> None:
    assert {path.parts[0] for path in KEPT} == set(TARGETS)


@pytest.mark.parametrize("path", KEPT, ids=str)
def test_every_file_that_is_kept(tmp_path: Path, path: Path) -> None:
    check(path.parts[0], (CORPUS / path).read_bytes(), tmp_path)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_made_of_them(tmp_path: Path, target: str) -> None:
    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(changed(kept(target)))
    def tries(data: bytes) -> None:
        check(target, data, tmp_path)

    tries()
