"""Packs that were made to be a nuisance are refused in a sentence, soon, with no more memory than they have bytes."""

import contextlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from streamclf.engine.verify import verify
from streamclf.errors import PackError
from streamclf.model.labels import make_labels
from streamclf.model.library import install
from streamclf.model.loader import load_pack, manifest_of, read_regular
from streamclf.model.packwriter import write_pack
from tools.lab.tinypack import stateful_pack

WHERE = Path("pack.toml")
MIB = 1 << 20
KINDS = {"stored": 0, "deflate": 8, "bzip2": 12, "lzma": 14}
PARTS = 100_000  # which tomllib takes 5 s for


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"{'a.' * PARTS}a = 1", "line 1 is not TOML: a key has more than 32 parts"),
        (f"# fine\n[{'a . ' * PARTS}a]", "line 2 is not TOML: a key has more than 32 parts"),
        (f"""{'"a".' * PARTS}'a' = 1""", "line 1 is not TOML: a key has more than 32 parts"),
        (f"a = {{ {'a.' * PARTS}a = 1 }}", "line 1 is not TOML: a key has more than 32 parts"),
        (f"a = {'[' * 50_000}{']' * 50_000}", "too deep in each other"),
        (f"a = {'{a=' * 50_000}1{'}' * 50_000}", "too deep in each other"),
        (f"rate = {'9' * 6000}", "more than 4300 digits"),
        (f"{'a' * 500_000} = 1", "unknown key `aaaa"),
    ],
)
def test_a_manifest_that_is_long_to_read_is_refused_in_a_sentence(text: str, what: str) -> None:
    with pytest.raises(PackError, match=what) as told:
        manifest_of(text.encode(), WHERE)
    assert len(str(told.value)) < 300


def test_dots_elsewhere_are_not_those_of_a_key(tmp_path: Path) -> None:
    folder = stateful_pack(tmp_path / "pack", title='Where "it.is.said" ' + ".".join("abcdefgh" * 8))
    text = (folder / "pack.toml").read_text()
    text += f"# {'.' * 200}\n"
    (folder / "pack.toml").write_text(text)
    assert load_pack(folder).manifest.title.endswith("f.g.h")
    numbers = ", ".join(["0.5"] * 200)
    with pytest.raises(PackError, match="unknown key `x`"):
        manifest_of(f"x = [{numbers}]\n{text}".encode(), WHERE)


def test_names_of_a_graph_are_compared_once(tmp_path: Path) -> None:
    """20,000 of them took 3 s."""
    text = (stateful_pack(tmp_path / "pack") / "pack.toml").read_text()
    constants = "".join(f'[[constants]]\nname = "c{i}"\ndtype = "int64"\nvalue = 1\n' for i in (*range(15_000), 0))
    with pytest.raises(PackError, match="the graph's 'c0' is named twice"):
        manifest_of(f"{text}\n{constants}".encode(), WHERE)


def test_100_000_equal_names_are_so_many_ids() -> None:
    labels = make_labels(["Turdus merula"] * 100_000)
    assert [label.id for label in labels[:3]] == ["turdus_merula", "turdus_merula_2", "turdus_merula_3"]
    assert len({label.id for label in labels}) == 100_000


def test_ids_that_are_taken_are_passed_over() -> None:
    named = make_labels(["a 2", "a", "a", "a", "a 2", "a_2_2", "x" * 70, "x" * 70])
    assert [label.id for label in named] == ["a_2", "a", "a_3", "a_4", "a_2_2", "a_2_2_2", "x" * 64, "x" * 62 + "_2"]


def test_a_file_takes_no_more_memory_than_it_has_bytes(tmp_path: Path) -> None:
    """A model of a few KB is loaded where 200 MiB are left; a model may have 2 GiB."""
    folder = stateful_pack(tmp_path / "pack")
    code = f"""
import resource
from pathlib import Path
from streamclf.model.loader import load_pack
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {200 * MIB}, resource.RLIM_INFINITY))
load_pack(Path({str(folder)!r}))
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not tell how much address space a process has")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_file_that_grows_while_it_is_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"four")
    opened = os.fdopen

    def growing(handle: int, mode: str) -> IO[Any]:
        path.write_bytes(b"fives")
        return opened(handle, mode)

    monkeypatch.setattr(os, "fdopen", growing)
    with pytest.raises(PackError, match="grew while it was read"):
        read_regular(path, cap=100)


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMCLF_MODELS", str(tmp_path / "packs"))
    return tmp_path / "packs"


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_archive_is_told_in_a_sentence(tmp_path: Path, packs: Path, kind: str) -> None:
    """Wherever it is damaged: pack, compressed content, directory."""
    folder = stateful_pack(tmp_path / "pack")
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", KINDS[kind]) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    content = whole.getvalue()
    rng = np.random.default_rng(0)
    damaged = tmp_path / "damaged.zip"
    for at in [*range(0, 80, 3), *rng.integers(0, len(content), 100), *range(len(content) - 300, len(content), 5)]:
        changed = bytearray(content)
        changed[at] ^= int(rng.integers(1, 256))
        damaged.write_bytes(changed)
        with contextlib.suppress(PackError):
            install(damaged, replace=True)


@pytest.mark.parametrize("kind", ["no zip", "deflate", "lzma", "huge", "nested", "flat"])
def test_a_golden_file_that_cannot_be_used_is_told_in_a_sentence(tmp_path: Path, kind: str) -> None:
    folder = stateful_pack(tmp_path / "pack")
    pack = load_pack(folder)
    golden = _golden(kind)
    card = (folder / "CARD.md").read_text()
    put = write_pack(tmp_path / "other", pack.manifest, model=pack.model, labels=pack.labels, card=card, golden=golden)
    with pytest.raises(PackError, match=r"golden\.npz of pack tiny-stateful cannot be used \(.+\); it must hold"):
        verify(load_pack(put))


def _golden(kind: str) -> bytes:
    if kind == "no zip":
        return b"PK nothing"
    audio, native = io.BytesIO(), io.BytesIO()
    np.save(audio, np.zeros(16_000, dtype=np.float32))
    np.save(native, np.zeros(50 if kind == "flat" else (50, 3), dtype=np.float32))
    held = audio.getvalue()
    if kind == "huge":
        held = held.replace(b"(16000,)", b"(1" + b"0" * 14 + b",)")
    if kind == "nested":
        held = b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", KINDS.get(kind, 0)) as archive:
        archive.writestr("audio.npy", held)
        archive.writestr("native.npy", native.getvalue())
    content = bytearray(whole.getvalue())
    if kind in KINDS:
        content[45:60] = b"\xff" * 15
    return bytes(content)
