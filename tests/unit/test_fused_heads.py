"""What the embedding of a member adds to the labels of a fused pack: run, verified, refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from streamclf.cli import cli
from streamclf.engine.verify import verify
from streamclf.errors import PackError
from streamclf.model.activation import normalised
from streamclf.model.fusedsession import open_session
from streamclf.model.loader import load_pack
from streamclf.types import F32
from tools.lab.tinypack import LOGMEL, fused_pack, put_file, stateful_pack, window_row_pack

WEIGHTS = np.random.default_rng(5).normal(size=(7, 3)).astype(np.float32)


def content(**heads: F32) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **heads)
    return file.getvalue()


def made(folder: Path, heads: bytes | None) -> Path:
    members = {
        "quick": stateful_pack(folder.parent / "quick"),
        "slow": window_row_pack(folder.parent / "slow", features="logmel", row_frame=6, embedded=True),
    }
    extra = None if heads is None else {"heads.npz": heads}
    return fused_pack(folder, members=members, settings={"slow": {"hop_ms": 100}}, when="quick", extra=extra)


def windows(count: int) -> F32:
    return np.random.default_rng(1).normal(size=(count, 18, LOGMEL.bands)).astype(np.float32)


def shares(folder: Path, heard: F32, max_batch: int) -> tuple[F32, F32]:
    """Of the member with windows, and its embeddings."""
    session = open_session(load_pack(folder), max_batch=max_batch).members[1]
    session.input_rows(len(heard))[:] = heard
    return session.run(list(range(len(heard)))), session.embedded.copy()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_it_adds_what_the_numbers_of_a_row_say(tmp_path: Path, dtype: type[np.floating]) -> None:
    weights = WEIGHTS.astype(dtype)
    plain, none = shares(made(tmp_path / "plain" / "tiny-fused", None), windows(5), 8)
    told, numbers = shares(made(tmp_path / "told" / "tiny-fused", content(slow=weights)), windows(5), 8)

    assert none.size == 0, "nobody needs them"
    added = normalised(numbers) @ weights[:-1].astype(np.float32) + weights[-1].astype(np.float32)
    assert told[:, 0] == pytest.approx(plain[:, 0] + added, abs=1e-5)
    assert np.abs(added).max() > 0.5


def test_rows_are_the_same_in_however_many_runs(tmp_path: Path) -> None:
    folder = made(tmp_path / "tiny-fused", content(slow=WEIGHTS))
    together, _ = shares(folder, windows(7), 8)
    apart, _ = shares(folder, windows(7), 2)

    assert apart == pytest.approx(together, abs=1e-5)


def test_it_goes_on_where_nobody_else_listens_to_the_numbers(tmp_path: Path) -> None:
    session = open_session(load_pack(made(tmp_path / "tiny-fused", content(slow=WEIGHTS)))).members[1]
    session.input_rows(1)[:] = windows(1)
    session.embed(True)
    before = session.run([0])
    session.embed(False)

    assert session.run([0]) == pytest.approx(before)


def test_a_row_whose_numbers_are_not_finite_is_zeros(tmp_path: Path) -> None:
    pack = load_pack(made(tmp_path / "tiny-fused", content(slow=WEIGHTS)))
    assert pack.fusion is not None
    numbers = np.ones((2, 6), np.float32)
    numbers[1, 3] = np.nan
    slow = pack.fusion.heads[1](np.full((2, 1, 3), 0.5, np.float32), numbers)
    quick = pack.fusion.heads[0](np.full((2, 1, 3), 0.5, np.float32))

    rows, _ = pack.fusion([quick[:, 0], slow[:, 0]])
    assert rows[0].min() > 0
    assert rows[1].tolist() == [0, 0, 0]


def test_it_is_verified_and_its_hash_is_filled_in(tmp_path: Path) -> None:
    folder = made(tmp_path / "tiny-fused", content(slow=WEIGHTS))
    assert verify(load_pack(folder)).problems == []
    (folder / "heads.npz").write_bytes(content(slow=2 * WEIGHTS))
    with pytest.raises(PackError, match=r"heads\.npz has sha256"):
        load_pack(folder)

    CliRunner().invoke(cli, ["models", "complete", str(folder)], catch_exceptions=False)
    assert verify(load_pack(folder)).problems == []


@pytest.mark.parametrize(
    ("heads", "what"),
    [
        (content(other=WEIGHTS), "names the member 'other'; there are quick, slow"),
        (content(quick=WEIGHTS), "a head of the member quick, which is no window pack with an `embedding`"),
        (content(slow=WEIGHTS[:-1]), "a head of 6 x 3 for the member slow; expected 7 x 3"),
        (content(slow=np.full_like(WEIGHTS, np.nan)), "a weight for slow that is no number within"),
        (content(slow=np.array([["a"]], dtype=object)), "heads.npz cannot be used"),
        (b"no archive", "heads.npz cannot be used"),
    ],
)
def test_a_fault_in_it_is_told_in_one_sentence(tmp_path: Path, heads: bytes, what: str) -> None:
    folder = made(tmp_path / "tiny-fused", content(slow=WEIGHTS))
    put_file(folder, "heads.npz", heads)
    with pytest.raises(PackError, match=what) as refused:
        load_pack(folder)
    assert "\n" not in str(refused.value)
