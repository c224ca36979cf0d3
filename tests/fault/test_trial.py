"""A pack's graph runs first in a process of its own: what it does there hurts nobody, and is told in a sentence."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from streamclf.commands.models import models
from streamclf.config import load
from streamclf.engine import trial
from streamclf.engine.build import build_engine
from streamclf.engine.making import Making, StartBrake
from streamclf.engine.trial import memory_limit, outcomes_dir, pass_trial
from streamclf.errors import PackError
from streamclf.model.library import find_pack
from streamclf.model.loader import load_pack
from streamclf.model.session import Session
from tests.support.hostile import greedy_pack, looping_pack
from tools.lab.tinypack import stateful_pack, window_row_pack

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits and signals are those of POSIX")
CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of caches, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each process that was made."""
    made: list[object] = []
    real = subprocess.Popen

    def counted(command: list[str], **how: object) -> object:
        made.append(command)
        return real(command, **how)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", counted)
    return made


def engine(folder: Path) -> None:
    """As the daemon and `classify` do it."""
    build_engine(load(flags={"model": [str(folder)], "provider": "cpu"}, environ={}))


def test_a_pack_is_tried_at_its_first_load_and_never_again(tmp_path: Path, tries: list[object]) -> None:
    folder = window_row_pack(tmp_path / "pack")
    engine(folder)
    engine(folder)
    assert len(tries) == 1
    (kept,) = outcomes_dir().iterdir()
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    engine(window_row_pack(tmp_path / "other", seed=7))
    assert len(tries) == 2, "other weights are another pack"


def test_what_ships_has_been_tried(tries: list[object]) -> None:
    assert pass_trial(find_pack("default")) is None
    assert not tries


def test_a_small_model_that_takes_much_memory_is_told_and_kept(tmp_path: Path, tries: list[object]) -> None:
    folder = greedy_pack(tmp_path / "greedy")
    assert len((folder / "model.onnx").read_bytes()) < 600
    for _ in range(2):
        with pytest.raises(PackError, match=r"pack greedy failed its trial: it takes more than 1536 MiB of memory; .+"):
            engine(folder)
    assert len(tries) == 1
    with pytest.raises(PackError, match="failed its trial"):
        pass_trial(load_pack(folder), again=True)
    assert len(tries) == 2, "it may be tried again"


def test_a_graph_that_loops_for_ever_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "FIRST_RUN_S", 3)
    with pytest.raises(PackError, match=r"it took more than 3 s of CPU to its first run.+may loop for ever; "):
        engine(looping_pack(tmp_path / "looping"))


@pytest.mark.skipif(not CHILDREN.exists(), reason="this system does not tell which children a process has")
def test_a_crash_takes_nothing_with_it(tmp_path: Path) -> None:
    folder = looping_pack(tmp_path / "looping")
    stop = threading.Event()
    killer = threading.Thread(target=_crash, args=(set(_children()), stop))
    killer.start()
    try:
        with pytest.raises(PackError, match=r"failed its trial: its graph crashed ONNX Runtime \(SIGSEGV\); "):
            engine(folder)
    finally:
        stop.set()
        killer.join()
    with pytest.raises(PackError, match="SIGSEGV"):
        engine(folder)


def test_a_trial_that_others_ended_says_nothing_of_the_pack(
    tmp_path: Path, tries: list[object], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pack = load_pack(window_row_pack(tmp_path / "pack"))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "no-python"))
        assert pass_trial(pack) is None
    assert "could not be tried in a process of its own" in caplog.text
    assert not outcomes_dir().exists()
    outcome = pass_trial(pack)
    assert outcome is not None
    assert outcome.problem == ""


def test_a_trial_for_which_there_is_no_room_says_nothing_of_the_pack(tmp_path: Path) -> None:
    """What this process may not have itself, its trials may not have either."""
    folder = greedy_pack(tmp_path / "greedy", mib=60)  # for each of up to 16 windows in a run
    code = f"""
import logging, resource
from pathlib import Path
from streamclf.engine.trial import pass_trial
from streamclf.model.loader import load_pack
from streamclf.model.session import Session
logging.basicConfig()
resource.setrlimit(resource.RLIMIT_AS, ({400 << 20}, {400 << 20}))
assert pass_trial(load_pack(Path({str(folder)!r}))) is None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "could not be tried in a process of its own: only 400 MiB of address space are given" in done.stderr
    assert pass_trial(load_pack(folder)) is not None


def _by_others(path: Path) -> None:
    path.chmod(0o666)


def _damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def _of_another_pack(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"digest":"', b'"digest":"x'))


def _link(path: Path) -> None:
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)


@pytest.mark.parametrize("spoil", [_by_others, _damaged, _of_another_pack, _link])
def test_an_outcome_that_cannot_be_believed_is_none(
    tmp_path: Path, tries: list[object], spoil: Callable[[Path], None]
) -> None:
    pack = load_pack(stateful_pack(tmp_path / "pack"))
    pass_trial(pack)
    (kept,) = outcomes_dir().iterdir()
    spoil(kept)
    pass_trial(pack)
    assert len(tries) == 2
    pass_trial(pack)
    assert len(tries) == 2


def test_where_the_folder_is_a_file_it_is_tried_each_time(tmp_path: Path, cache: Path, tries: list[object]) -> None:
    cache.write_text("")
    folder = stateful_pack(tmp_path / "pack")
    engine(folder)
    engine(folder)
    assert len(tries) == 2


def test_a_pack_whose_files_change_meanwhile_is_not_passed(tmp_path: Path) -> None:
    pack = load_pack(window_row_pack(tmp_path / "pack"))
    window_row_pack(tmp_path / "pack", seed=9)
    with pytest.raises(PackError, match="its files were changed meanwhile"):
        pass_trial(pack)


def test_larger_graphs_may_take_more(tmp_path: Path) -> None:
    pack = load_pack(window_row_pack(tmp_path / "pack"))
    assert memory_limit(pack) == (1536 << 20) + 8 * len(pack.model)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
@pytest.mark.parametrize("begun", [True, False])
def test_the_trial_ends_with_whoever_asked_for_it(tmp_path: Path, begun: bool) -> None:
    folder = looping_pack(tmp_path / "looping")
    code = f"""
from pathlib import Path
from streamclf.engine.trial import pass_trial
from streamclf.model.loader import load_pack
from streamclf.model.session import Session
pass_trial(load_pack(Path({str(folder)!r})))
"""
    asking = subprocess.Popen([sys.executable, "-c", code])
    try:
        of = Path(f"/proc/{asking.pid}/task/{asking.pid}/children")
        if not of.exists():
            pytest.skip("this system does not tell which children a process has")
        until(lambda: bool(of.read_text()))
        (child,) = map(int, of.read_text().split())
        until(lambda: not begun or _limited(child))
    finally:
        asking.kill()
        asking.wait()
    until(lambda: not Path(f"/proc/{child}/task").exists() or _state(child) == "Z")


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _children() -> list[int]:
    return [int(pid) for pid in CHILDREN.read_text().split()]


def _limited(pid: int) -> bool:
    """Whether the trial has come so far as to set its limits."""
    return re.search(r"Max file size +65536 ", Path(f"/proc/{pid}/limits").read_text()) is not None


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _crash(before: set[int], stop: threading.Event) -> None:
    """Does to the trial what a fault of ONNX Runtime's does."""
    while not stop.wait(0.02):
        for pid in set(_children()) - before:
            if _limited(pid):
                os.kill(pid, signal.SIGSEGV)
                return


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux is a trial's time told while it runs")
def test_a_trial_is_waited_for_by_what_it_computes_and_ends_where_nobody_waits_any_more(tmp_path: Path) -> None:
    """So a busy machine makes no difference to whether a pack that fails its trial is refused at the start."""
    pack = load_pack(looping_pack(tmp_path / "looping"))
    tried: list[object] = []

    def make(brake: StartBrake) -> Session:
        tried.append(pass_trial(pack, brake=brake))
        return Session(pack)

    before = set(psutil.Process().children())
    making = Making("looping", make)
    until(lambda: bool(set(psutil.Process().children()) - before))
    (child,) = set(psutil.Process().children()) - before
    child.suspend()  # as on a machine that has no time for it
    waited: list[bool] = []
    waiting = threading.Thread(target=lambda: waited.append(making.wait(0.5)))
    waiting.start()
    waiting.join(1.5)
    assert not waited, "it was given up although it could not compute"
    child.resume()
    waiting.join(60)
    assert waited == [False]
    making.break_off()
    until(lambda: not making.running)
    assert str(making.outcome) == "the trial of pack looping was broken off"
    assert not tried
    assert not outcomes_dir().exists()


@pytest.mark.parametrize("how", [("--golden",), ("--sounds", "sounds")])
def test_a_pack_that_is_completed_is_tried_before_it_runs_here(tmp_path: Path, how: tuple[str, ...]) -> None:
    folder = greedy_pack(tmp_path / "greedy")
    manifest = folder / "pack.toml"
    if "--sounds" in how:
        (tmp_path / "sounds").mkdir()
        how = ("--sounds", str(tmp_path / "sounds"))
        lines = manifest.read_text().splitlines(keepends=True)
        manifest.write_text("".join(line for line in lines if not line.startswith(("row_at", "look_ahead"))))
    result = CliRunner().invoke(models, ["complete", str(folder), *how])
    assert "greedy failed its trial: it takes more than 1536 MiB of memory" in str(result.exception)
