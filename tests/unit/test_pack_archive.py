"""Archives that were made to be a nuisance are refused by what they state, before anything big is made of them."""

import io
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from streamclf.errors import PackError
from streamclf.model.archive import unpack
from streamclf.model.loader import load_pack
from tools.lab.tinypack import stateful_pack

MIB = 1 << 20


@pytest.fixture
def making(tmp_path: Path) -> Path:
    """Where the files of an archive go."""
    folder = tmp_path / "making"
    folder.mkdir()
    return folder


def archived(tmp_path: Path, *, how: int = zipfile.ZIP_DEFLATED, **instead: bytes) -> Path:
    """The archive of a whole pack. instead: content of its files by name, "_" for the dot."""
    folder = stateful_pack(tmp_path / "pack")
    path = tmp_path / "pack.zip"
    with zipfile.ZipFile(path, "w", how) as archive:
        for file in sorted(folder.iterdir()):
            archive.writestr(file.name, instead.pop(file.name.replace(".", "_"), b"") or file.read_bytes())
        for name, content in instead.items():
            archive.writestr(name.replace("_", "."), content)
    return path


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_the_manifest_names_is_unpacked_and_nothing_else(tmp_path: Path, making: Path, how: int) -> None:
    unpack(archived(tmp_path, how=how, notes_txt=b"of its maker"), making)
    assert load_pack(making).digest == load_pack(tmp_path / "pack").digest
    assert not (making / "notes.txt").exists()


def test_a_model_that_swells_is_refused_before_it_is_made(tmp_path: Path, making: Path) -> None:
    path = archived(tmp_path, model_onnx=bytes(64 * MIB))
    assert path.stat().st_size < MIB
    with pytest.raises(PackError, match=r"model\.onnx goes from \d+ bytes to 67108864, and numbers never"):
        unpack(path, making)
    assert list(making.iterdir()) == []


def test_a_model_that_its_hash_refuses_takes_no_memory(tmp_path: Path, making: Path) -> None:
    """Of 100 MiB, where 40 are left: it comes and goes in parts."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not tell how much address space a process has")
    noise = b"".join(number.to_bytes(16, "big") for number in range(1 << 16))
    path = archived(tmp_path, how=zipfile.ZIP_STORED, model_onnx=noise * 100)
    code = f"""
import resource
from pathlib import Path
from streamclf.model.archive import unpack
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {40 * MIB}, resource.RLIM_INFINITY))
unpack(Path({str(path)!r}), Path({str(making)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert "it was changed or damaged" in done.stderr.splitlines()[-1], done.stderr


def test_a_directory_that_claims_to_be_huge_is_not_read(tmp_path: Path, making: Path) -> None:
    path = tmp_path / "huge.zip"
    claimed = 500 * MIB
    with path.open("wb") as file:
        file.truncate(claimed)
        file.seek(0, 2)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, claimed, 0, 0))
    with pytest.raises(PackError, match="its directory is larger than that of any pack"):
        unpack(path, making)


def test_files_that_lie_over_each_other_are_refused(tmp_path: Path, making: Path) -> None:
    """A bomb that needs no deep archive: many members of the same compressed bytes."""
    content = bytearray(archived(tmp_path, how=zipfile.ZIP_STORED, model_onnx=b"x" * 9000).read_bytes())
    at = -1
    while (at := content.find(b"PK\1\2", at + 1)) >= 0:
        struct.pack_into("<2L", content, at + 20, 9000, 9000)
    path = tmp_path / "over.zip"
    path.write_bytes(content)
    with pytest.raises(PackError, match="files that lie over each other"):
        unpack(path, making)


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_take_memory_without_bound_are_refused(tmp_path: Path, making: Path, how: int) -> None:
    with pytest.raises(PackError, match=r"is packed by method \d+; make the archive again, with deflate"):
        unpack(archived(tmp_path, how=how), making)


def test_a_file_that_the_manifest_names_must_be_in_it(tmp_path: Path, making: Path) -> None:
    folder = stateful_pack(tmp_path / "pack")
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.write(folder / "pack.toml", "pack.toml")
    (tmp_path / "less.zip").write_bytes(whole.getvalue())
    with pytest.raises(PackError, match=r"does not hold .+, which its pack\.toml names"):
        unpack(tmp_path / "less.zip", making)


def test_an_archive_may_be_named_by_a_link(tmp_path: Path, making: Path) -> None:
    (tmp_path / "link.zip").symlink_to(archived(tmp_path))
    unpack(tmp_path / "link.zip", making)
    assert load_pack(making).manifest.name == "tiny-stateful"
