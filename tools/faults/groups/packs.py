"""Packs that raise, hang, say NaN, ask for too much, or are no packs."""

import hashlib
import shutil
import subprocess
import threading
import time
from pathlib import Path

from tools.faults.lab import Lab, WatchedDaemon, told
from tools.faults.material import trigger
from tools.faults.pusher import RATE, Pusher
from tools.faults.registry import FaultGroup
from tools.lab.tinypack import put_file, stateful_pack, window_row_pack

group = FaultGroup("packs", owner="watchdog")


def sick(lab: Lab, kind: str) -> tuple[WatchedDaemon, Pusher]:
    """A healthy pack and a bad one; the bad one is set off by what is pushed."""
    patient = lab.start(f"push:kitchen,{RATE}", packs=[lab.material.pack, lab.material.bad(kind)])
    pusher = Pusher(patient.url, "kitchen")
    lab.held.callback(pusher.close)
    pusher.start()
    lab.until(lambda: patient.rows.of("kitchen").times_s, 15, "rows of kitchen", patient)
    lab.until(lambda: patient.health.last and patient.health.last.ok, 15, "health to be ok", patient)
    return patient, pusher


def set_off(pusher: Pusher) -> None:
    """The bad pack does what it does."""
    pusher.sound = trigger(RATE)


def rows_of(patient: WatchedDaemon, pack: str) -> int:
    """Of a pack, of the steady stream."""
    return int(patient.stream("steady").get("rows", {}).get(pack, 0))


def others_go_on(lab: Lab, patient: WatchedDaemon) -> None:
    """The healthy pack has new rows."""
    before = rows_of(patient, "tiny-stateful")
    lab.must(lab.happens(lambda: rows_of(patient, "tiny-stateful") > before + 50, 8.0) is not None,
             "the healthy pack gives no rows")  # fmt: skip


def _told_and_others_go_on(lab: Lab, kind: str) -> None:
    patient, pusher = sick(lab, kind)
    if lab.detect(patient, lambda: set_off(pusher)):
        others_go_on(lab, patient)
        lab.lasting(patient, 3.0, by=told)
    pusher.sound = pusher.sound * 0
    lab.must(patient.alive, f"the daemon ended with {patient.process.returncode}")


@group.fault(
    "raises",
    "a run that raises: told within 1 s, the other pack goes on, the bad one is put aside or comes back",
    detect_s=1,
)
def raises(lab: Lab) -> None:
    """It ended the daemon."""
    _told_and_others_go_on(lab, "raise")


@group.fault("says-nan", "nothing but NaN: told within 1 s, the other pack goes on", detect_s=1)
def says_nan(lab: Lab) -> None:
    """Only a metric told it."""
    _told_and_others_go_on(lab, "nan")


@group.fault("asks-for-4-TB", "a run that asks for 4 TB of memory: told within 1 s, the other pack goes on", detect_s=1)
def allocates(lab: Lab) -> None:
    """No system gives it."""
    _told_and_others_go_on(lab, "allocate")


@group.fault("hangs", "a run that never ends: told within 1 s, the other pack and streams go on", detect_s=1)
def hangs(lab: Lab) -> None:
    """An endless loop in the graph; no watchdog saw it."""
    _told_and_others_go_on(lab, "hang")


@group.fault("hang-is-stopped", "SIGTERM while a run hangs: ended in 10 s", owner="watchdog")
def hang_stopped(lab: Lab) -> None:
    """What hangs must not hold up the end."""
    patient, pusher = sick(lab, "hang")
    set_off(pusher)
    time.sleep(2.0)
    took_s = time.monotonic()
    code = patient.stop()
    lab.note(f"exit {code} after {time.monotonic() - took_s:.1f} s")


@group.fault(
    "hangs-at-start",
    "its first run never ends: given up with a sentence, or put aside and the rest heard, within 60 s",
    owner="packs",
    limit_s=100,
)
def at_start(lab: Lab) -> None:
    """The start was held for ever without a line."""
    patient = lab.start(packs=[lab.material.pack, lab.material.bad("hang-at-start")], ready=False)
    took = lab.happens(lambda: not patient.alive or bool(patient.rows.of("steady").times_s), 60.0)
    if lab.must(took is not None, "neither an end nor rows within 60 s"):
        lab.note(f"after {took:.0f} s: " + (f"exit {patient.process.returncode}" if not patient.alive else "rows"))
        lab.must("hang-at-start" in patient.stderr, "no line names the pack")
    else:
        patient.kill()


def _refused(lab: Lab, pack: Path, *words: str, limit_s: float = 30.0) -> None:
    """The daemon does not start with it: one sentence, no traceback, little memory, that of its trial included."""
    patient = lab.start(packs=[pack], ready=False, watch=False)
    most = 0

    def ended() -> bool:
        nonlocal most
        if not patient.alive:
            return True
        try:
            most = max(most, patient.rss_kib(children=True))
        except (OSError, StopIteration):
            return True
        return False

    if lab.must(lab.happens(ended, limit_s) is not None, f"it was taken, or nothing came of it in {limit_s:.0f} s"):
        lab.refused(patient, 1, 78)
        lab.note(f"{most // 1024} MiB")
        lab.must(all(word in patient.stderr for word in words), f"not a word of {', '.join(words)}")
        lab.must(most < 600 * 1024, f"{most // 1024} MiB of memory for it")
    else:
        lab.note(f"{most // 1024} MiB")
        patient.kill()


@group.fault("garbage-file", "model.onnx is random bytes with the right hash: refused with one sentence", owner="packs")
def garbage(lab: Lab) -> None:
    """No graph at all."""
    pack = stateful_pack(lab.folder / "garbage", name="garbage")
    put_file(pack, "model.onnx", hashlib.sha512(b"x").digest() * 2000)
    _refused(lab, pack, "garbage")


@group.fault(
    "wrong-hash",
    "a file that is not what pack.toml says: refused, the file and both hashes named",
    owner="packs",
    cheap=True,
)
def wrong_hash(lab: Lab) -> None:
    """Changed by somebody."""
    pack = stateful_pack(lab.folder / "changed", name="changed")
    (pack / "model.onnx").write_bytes((pack / "model.onnx").read_bytes() + b"\0")
    _refused(lab, pack, "model.onnx")


@group.fault("cut-off", "model.onnx cut in half, its hash right: refused with one sentence", owner="packs")
def cut_off(lab: Lab) -> None:
    """A copy that broke off."""
    pack = stateful_pack(lab.folder / "half", name="half")
    data = (pack / "model.onnx").read_bytes()
    put_file(pack, "model.onnx", data[: len(data) // 2])
    _refused(lab, pack)


@group.fault(
    "wrong-shapes", "a graph whose outputs are not those of pack.toml: refused with one sentence", owner="packs"
)
def wrong_shapes(lab: Lab) -> None:
    """Another model's graph."""
    pack = stateful_pack(lab.folder / "shapes", name="shapes")
    other = window_row_pack(lab.folder / "other", name="other", classes=5)
    put_file(pack, "model.onnx", (other / "model.onnx").read_bytes())
    _refused(lab, pack)


@group.fault(
    "asks-for-2-GB-at-start", "257 bytes that unfold to 2 GB: refused, at most 600 MiB used", owner="packs", limit_s=90
)
def unfolds(lab: Lab) -> None:
    """A constant that the runtime folds when it loads."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    pack = stateful_pack(lab.folder / "folds", name="folds")
    model = onnx.load_model_from_string((pack / "model.onnx").read_bytes())
    last = next(node for node in model.graph.node if list(node.output) == ["scores"])
    last.output[0] = "plain"
    shape = numpy_helper.from_array(np.array([500_000_000], np.int64), "giant")
    model.graph.initializer.append(shape)
    model.graph.node.extend(
        [
            helper.make_node("ConstantOfShape", ["giant"], ["room"],
                             value=helper.make_tensor("v", TensorProto.FLOAT, [1], [0.0])),
            helper.make_node("ReduceSum", ["room"], ["nothing"], keepdims=0),
            helper.make_node("Add", ["plain", "nothing"], ["scores"]),
        ]
    )  # fmt: skip
    put_file(pack, "model.onnx", model.SerializeToString(deterministic=True))
    _refused(lab, pack, limit_s=60.0)


@group.fault("no-pack-toml", "a folder without pack.toml: refused with one sentence", owner="packs")
def no_manifest(lab: Lab) -> None:
    """An empty folder."""
    (lab.folder / "empty").mkdir()
    _refused(lab, lab.folder / "empty")


@group.fault("garbage-pack-toml", "pack.toml is random bytes: refused with one sentence", owner="packs")
def bad_manifest(lab: Lab) -> None:
    """Neither TOML nor text."""
    pack = stateful_pack(lab.folder / "toml", name="toml")
    (pack / "pack.toml").write_bytes(hashlib.sha512(b"y").digest() * 10)
    _refused(lab, pack, "pack.toml")


@group.fault("fifo-for-a-file", "model.onnx is a named pipe: refused, the start does not hang", owner="packs")
def fifo(lab: Lab) -> None:
    """Only regular files are read."""
    import os

    pack = stateful_pack(lab.folder / "fifo", name="fifo")
    (pack / "model.onnx").unlink()
    os.mkfifo(pack / "model.onnx")
    _refused(lab, pack)


@group.fault("20000-equal-labels", "20,000 equal labels: refused within seconds", owner="packs")
def labels(lab: Lab) -> None:
    """It took minutes."""
    pack = stateful_pack(lab.folder / "labels", name="labels")
    lines = (pack / "labels.csv").read_text().splitlines()
    put_file(pack, "labels.csv", "\n".join([lines[0], *[lines[1]] * 20_000, ""]).encode())
    _refused(lab, pack)


@group.fault("deleted-while-running", "the folder of a pack goes while it runs: rows go on")
def deleted(lab: Lab) -> None:
    """It is in memory."""
    pack = stateful_pack(lab.folder / "gone", name="gone")
    patient = lab.start(packs=[pack])
    shutil.rmtree(pack)
    time.sleep(2.0)
    lab.untouched(patient)
    lab.healthy(patient)


@group.fault(
    "zip-bomb",
    "`models add` of a zip that unfolds to 3.8 GB: refused, little memory, nothing left behind",
    owner="packs",
)
def bomb(lab: Lab) -> None:
    """2 MB of it."""
    import resource
    import zipfile

    from tools.lab.daemon import clean_env

    place = lab.folder / "bomb.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for name in ("pack.toml", "labels.csv"):
            out.writestr(f"bomb/{name}", (lab.material.pack / name).read_bytes())
        with out.open("bomb/model.onnx", "w", force_zip64=True) as giant:
            for _ in range(380):
                giant.write(bytes(10_000_000))
    env = clean_env(lab.folder, {"STREAMCLF_MODELS": str(lab.folder / "models")})
    begun_s = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run(
        [shutil.which("python") or "python", "-m", "streamclf", "models", "add", str(place)],
        env=env, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    lab.note(
        f"exit {done.returncode} in {time.monotonic() - begun_s:.0f} s, {most // 1024} MiB: {done.stderr.strip()[:120]}"
    )
    lab.must(done.returncode, "it was taken")
    lab.must(len(done.stderr.strip().splitlines()) == 1, "not one sentence")
    lab.must(max(before, most) < 600 * 1024, f"{most // 1024} MiB of memory for it")


@group.fault("threads-stay", "a pack that hangs three times leaves no heap of threads: at most 8 more")
def threads(lab: Lab) -> None:
    """Each hung run may cost one."""
    patient, pusher = sick(lab, "hang")
    before = len(list(Path(f"/proc/{patient.process.pid}/task").iterdir()))
    good = pusher.sound
    for _ in range(3):
        set_off(pusher)
        time.sleep(4.0)
        pusher.sound = good
        time.sleep(4.0)
    after = len(list(Path(f"/proc/{patient.process.pid}/task").iterdir())) if patient.alive else 0
    lab.note(f"{before} threads before, {after} after")
    lab.must(patient.alive and after <= before + 8, f"{after} threads")
    assert threading.main_thread().is_alive()
