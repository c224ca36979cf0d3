"""A pack that is made of packs: put together, loaded, refused, installed, announced."""

import hashlib
import shutil
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from streamclf.audio.ring import Ring
from streamclf.cli import cli
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.pacing import Pacer
from streamclf.engine.stream import Stream
from streamclf.engine.verify import native_rows, verify
from streamclf.errors import PackError
from streamclf.model.archive import unpack
from streamclf.model.fused import copy_pack
from streamclf.model.fusedsession import open_session
from streamclf.model.fusion import Fusion, Head
from streamclf.model.library import find_pack, install
from streamclf.model.loader import load_pack
from streamclf.model.pack import LevelControl
from streamclf.model.terms import Term
from streamclf.serve.packinfo import pack_info
from streamclf.types import Shape
from tools.lab.sickpack import Sickness, sick_pack
from tools.lab.tinypack import fused_pack, put_file, stateful_pack, window_frames_pack, window_row_pack


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a stateful pack, and of log-mel windows every 100 ms behind a level control."""
    return fused_pack(tmp_path_factory.mktemp("packs") / "fused", when="quick")


@pytest.fixture
def folder(tmp_path: Path, whole: Path) -> Path:
    """A copy of it to spoil."""
    return shutil.copytree(whole, tmp_path / "fused")


def test_it_loads_with_its_members(whole: Path) -> None:
    pack = load_pack(whole)
    assert pack.manifest.shape is Shape.FUSED
    assert [member.manifest.name for member in pack.members] == ["tiny-stateful", "tiny-window-row"]
    assert (pack.manifest.window, pack.manifest.look_ahead) == (3200, 960)
    assert pack.graph_bytes == sum(len(member.model) for member in pack.members) > 0
    level = getattr(pack.members[1].manifest.features, "level", None)
    assert level == pack.manifest.members[1].level is not None
    assert pack.digest == hashlib.sha256((whole / "pack.toml").read_bytes()).hexdigest()


def test_it_is_verified_like_any_other(whole: Path) -> None:
    report = verify(load_pack(whole))
    assert report.problems == []
    assert report.hop_ms == 100
    assert report.late is not None


def test_members_of_other_rates_are_verified(tmp_path: Path) -> None:
    high = window_row_pack(tmp_path / "high", window=9600, rate=48_000, row_at=9 * 960, look_ahead=0)
    members = {"quick": stateful_pack(tmp_path / "quick"), "high": high}
    assert verify(load_pack(fused_pack(tmp_path / "fused", members=members))).problems == []


def test_a_row_is_the_sum_of_its_terms() -> None:
    weights = np.array([[1.0, 0.0], [0.0, 2.0], [-0.5, 0.0]], np.float32)
    one = Head([[0, 1], [2], [2]], weights, activation="sigmoid", clip=12.0)
    two = Head([[0]], np.array([[0.0, 1.0]], np.float32), activation="none", clip=3.0)
    fusion = Fusion(np.array([0.25, -0.5], np.float32), (one, two), None)
    raw = np.array([[[-20.0, 1.5, 4.0]]], np.float32)
    shares = [one(raw)[0], two(np.array([[[1.0]]], np.float32))[0]]
    rows, margins = fusion(shares)
    expected = np.array([1.5 - 2.0 + 0.25, 8.0 + 3.0 - 0.5])  # a probability of 1 is a logit of 3
    assert rows[0] == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-6)
    assert margins is None


def test_a_row_that_a_member_cannot_give_is_zeros() -> None:
    head = Head([[0]], np.ones((1, 2), np.float32), activation="sigmoid", clip=12.0)
    fusion = Fusion(np.zeros(2, np.float32), (head, head), None)
    good = np.ones((2, 2), np.float32)
    bad = np.array([[1.0, 1.0], [np.nan, np.nan]], np.float32)
    rows, _ = fusion([good, bad])
    assert rows[1].tolist() == [0.0, 0.0]
    assert rows[0].min() > 0.8


def test_a_member_says_when_by_what_it_leaves_at(tmp_path: Path) -> None:
    terms = [
        Term("loud", "quick", ("loud", "c1"), 1.0),
        Term("c1", "quick", ("c2",), -1.0),
        Term("c1", "slow", ("c1",), 1.0),
        Term("c2", "slow", ("c2",), 1.0),
    ]
    pack = load_pack(fused_pack(tmp_path / "fused", when="quick", terms=terms))
    assert pack.fusion is not None
    # the tiny packs leave at 0.4
    shares = pack.fusion.heads[0](np.array([[[0.1, 0.39, 0.99]], [[0.41, 0.1, 0.99]]], np.float32))
    _, margins = pack.fusion([shares[:, 0], np.zeros((2, 3), np.float32)])
    assert margins is not None
    # what only speaks against a label, or says nothing of it, does not say when it began
    assert pack.fusion.known.tolist() == [0]
    assert (margins >= 0).tolist() == [[False], [True]]


def test_it_comes_by_folder_and_by_archive(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCLF_MODELS", str(tmp_path / "models"))
    (whole / "members" / "quick" / "notes.txt").write_text("of its maker")
    digest = load_pack(whole).digest
    assert install(whole).pack.digest == digest
    assert find_pack("tiny-fused").digest == digest
    assert not list((tmp_path / "models").rglob("notes.txt"))
    assert install(whole).already
    for top in ("", "tiny-fused/"):
        path = tmp_path / f"{len(top)}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in (entry for entry in whole.rglob("*") if entry.is_file()):
                archive.writestr(top + file.relative_to(whole).as_posix(), file.read_bytes())
        making = tmp_path / f"making-{len(top)}"
        making.mkdir()
        unpack(path, making)
        assert load_pack(making).digest == digest
        assert not list(making.rglob("notes.txt"))


def test_an_archive_with_another_member_is_refused(tmp_path: Path, folder: Path) -> None:
    put_file(folder / "members" / "quick", "CARD.md", b"# Another one\n")
    path = tmp_path / "pack.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in (entry for entry in folder.rglob("*") if entry.is_file()):
            archive.writestr(file.relative_to(folder).as_posix(), file.read_bytes())
    making = tmp_path / "making"
    making.mkdir()
    with pytest.raises(PackError, match=r"members/quick/pack\.toml has sha256 .* it was changed or damaged"):
        unpack(path, making)


def test_one_changed_byte_in_a_member_is_found(folder: Path) -> None:
    put_file(folder / "members" / "slow", "CARD.md", b"# Another one\n")
    with pytest.raises(PackError, match=r"members/slow/pack\.toml has sha256"):
        load_pack(folder)


def test_members_are_no_links(tmp_path: Path, folder: Path) -> None:
    (folder / "members" / "slow").rename(tmp_path / "slow")
    (folder / "members" / "slow").symlink_to(tmp_path / "slow")
    with pytest.raises(PackError, match="is a symbolic link"):
        load_pack(folder)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("rate = 16000", "rate = 48000", "`rate` is 48000; its members come to 16000"),
        ("look_ahead = 960", "look_ahead = 0", "`look_ahead` is 0; its members come to 960"),
        ('when = "quick"', 'when = "nobody"', "`when` is 'nobody'; expected one of the members quick, slow"),
        ("hop_ms = 100", "hop_ms = 90", "a hop of 90 ms; expected a multiple of 20"),
        ("hop_ms = 100", "hop_ms = 400", "a hop of 400 ms; at most a window of 200 ms"),
        ('shape = "fused"', 'shape = "fused"\nclip = 16.0', "`clip` is 16; expected over 0 up to 15"),
        ('shape = "fused"', 'shape = "fused"\ninput = "audio"', "`input` belongs to packs that have a graph"),
        ('shape = "fused"', 'shape = "fused"\nstep = 320', "a fused pack has no graph; leave out `step`"),
        ('name = "slow"', 'name = "quick"', "names 'quick' twice"),
        ('name = "slow"', 'name = "../slow"', "cannot be called so"),
        ("up_db = 30.0", "up_db = -1.0", "a level control has target_db 20, up_db -1"),
        ('name = "quick"\n', 'name = "quick"\nhop_ms = 20\n', "quick has a hop, but no windows"),
        ('name = "quick"\n', 'name = "quick"\nhops = 20\n', "unknown key `hops`"),
        ('"fusion.csv"', '"other.csv"', r"\[files\] does not name fusion.csv"),
    ],
)
def test_a_fault_in_the_manifest_is_told_in_one_sentence(folder: Path, old: str, new: str, what: str) -> None:
    text = (folder / "pack.toml").read_text()
    assert old in text
    (folder / "pack.toml").write_text(text.replace(old, new))
    with pytest.raises(PackError, match=what) as refused:
        load_pack(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("label,member", "label,members", "begins with 'label,members"),
        ("loud,quick,loud,0.5", "loud,quick,loud", "line 2: 3 values"),
        ("loud,quick,loud,0.5", "loud,quick,loud,half", "line 2: weight is 'half'"),
        ("loud,quick,loud,0.5", "loud,quick,loud,1001", r"line 2: weight is '1001'; expected a number within \+-1000"),
        ("loud,quick,loud,0.5", "loud,quick,,0.5", "line 2: expected a member and its labels, or neither"),
        ("loud,quick,loud,0.5", "noise,quick,loud,0.5", "a term of 'noise', which labels.csv does not name"),
        ("loud,quick,loud,0.5", "loud,quick,noise,0.5", "the label 'noise', which the member quick does not have"),
        ("loud,quick,loud,0.5", "loud,other,loud,0.5", "the member 'other'; there are quick, slow"),
        ("slow", "quick", "no term of the member slow"),
        ("\nc2,", "\nc1,", "no term for the label c2"),
    ],
)
def test_a_fault_in_the_terms_is_told_in_one_sentence(folder: Path, old: str, new: str, what: str) -> None:
    text = (folder / "fusion.csv").read_text()
    assert old in text
    put_file(folder, "fusion.csv", text.replace(old, new).encode())
    with pytest.raises(PackError, match=what) as refused:
        load_pack(folder)
    assert "\n" not in str(refused.value)


def test_a_fused_pack_is_no_member(tmp_path: Path, whole: Path) -> None:
    outer = fused_pack(tmp_path / "outer", members={"inner": stateful_pack(tmp_path / "plain")})
    shutil.rmtree(outer / "members" / "inner")
    copy_pack(whole, outer / "members" / "inner")
    text = (outer / "pack.toml").read_text()
    old = hashlib.sha256((tmp_path / "plain" / "pack.toml").read_bytes()).hexdigest()
    new = hashlib.sha256((whole / "pack.toml").read_bytes()).hexdigest()
    (outer / "pack.toml").write_text(text.replace(old, new))
    with pytest.raises(PackError, match="its member inner is a fused pack"):
        load_pack(outer)


def test_a_level_control_needs_log_mel_features(tmp_path: Path) -> None:
    level = LevelControl(target_db=0.0, up_db=10.0)
    members = {"plain": stateful_pack(tmp_path / "plain")}
    folder = fused_pack(tmp_path / "fused", members=members, settings={"plain": {"level": level}})
    with pytest.raises(PackError, match="plain has a level control, but no log-mel features"):
        load_pack(folder)


def test_what_is_announced_is_the_longest_of_its_members(whole: Path) -> None:
    pack = load_pack(whole)
    runner = PackRunner(pack, None)
    info = pack_info(pack, hop_ms=runner.step_ms, provider="cpu", latency_ms=500)
    assert (info.hop_ms, info.window_ms, info.look_ahead_ms) == (100, 200.0, 60.0)
    assert info.algorithmic_latency_ms == 160.0
    assert info.receptive_field_ms is None
    assert info.latency_ms is None


def test_frames_that_are_revised_are_announced(tmp_path: Path) -> None:
    members = {"frames": window_frames_pack(tmp_path / "frames"), "rows": window_row_pack(tmp_path / "rows")}
    info = pack_info(load_pack(fused_pack(tmp_path / "fused", members=members)), hop_ms=20, provider="", latency_ms=500)
    assert info.latency_ms == 500
    assert info.receptive_field_ms == 200.0


def test_a_longer_hop_is_for_windows_and_never_shorter_than_their_own(whole: Path) -> None:
    runner = PackRunner(load_pack(whole), None)
    for frames, times, hop in ((1, 1, 5), (8, 1, 8), (1, 2, 10), (8, 4, 32)):
        runner.set_hop(frames, times=times)
        assert runner.hop_frames == hop
        assert runner.step_ms == 20 * hop


def test_members_run_on_one_brake(whole: Path) -> None:
    session = open_session(load_pack(whole))
    assert {id(member.brake) for member in session.members} == {id(session.brake)}
    assert session.provider == "cpu"
    assert session.warm_up() > 0
    assert all(member.run_seconds for member in session.members)


def test_the_member_whose_run_fails_is_named(tmp_path: Path) -> None:
    members = {"well": stateful_pack(tmp_path / "well"), "ill": sick_pack(tmp_path / "ill", Sickness.RAISES)}
    pack = load_pack(fused_pack(tmp_path / "fused", members=members))
    runner = PackRunner(pack, open_session(pack))
    runner.strict = False
    engine = Engine([runner])
    ring = Ring(16_000)
    engine.add(Stream("s", rate=16_000, ring=ring))
    ring.write(np.full(3200, 0.9, np.float32))
    engine.drain()
    assert not runner.works
    assert runner.fault is not None
    assert runner.fault.reason.startswith("a run of its member ill failed: ")


def test_the_pace_is_kept_by_its_windows(whole: Path) -> None:
    runner = PackRunner(load_pack(whole), None)
    told: list[tuple[str, int]] = []
    pacer = Pacer(Engine([runner]), live=True, on_hop=lambda pack, hop_ms: told.append((pack, hop_ms)))
    pacer.begin({"tiny-fused": 0.001})
    pacer.begin({"tiny-fused": 0.1})
    assert told == [("tiny-fused", 100), ("tiny-fused", 200)]


def test_its_own_rows_are_its_rows_of_frames(whole: Path) -> None:
    audio = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * np.float32(0.1)
    assert native_rows(load_pack(whole), audio).shape == (50, 3)


def test_it_is_shown_member_by_member(whole: Path) -> None:
    shown = CliRunner().invoke(cli, ["models", "show", str(whole)]).output
    assert "fused, a row every 20 ms" in shown
    assert "quick: tiny-stateful 1 (MIT)" in shown
    assert "run every 100 ms at most; lifted by up to 30 dB" in shown
    facts = msgspec.json.decode(CliRunner().invoke(cli, ["models", "show", "--json", str(whole)]).output)
    assert [member["name"] for member in facts["members"]] == ["quick", "slow"]
    assert not {"features", "input", "output", "activation"} & set(facts)
