#!/usr/bin/env python
"""What streamclf costs against what one would take instead, each run for real on the same sound.

    python tools/bench/peers.py [--rounds 7] [--only TEXT] [--json FILE]

Silero: the engine, all included, against the package's own iterator (`silero-vad`), ONNX Runtime alone and sherpa-onnx,
a minute of sound as fast as it goes (live: live.py). YAMNet every 20 ms against a script that computes each window's
features anew and runs it. Features against librosa and kaldi-native-fbank. Thread-CPU time, the least of the rounds,
all ways in each round. Packs are looked for where the daemon looks (`streamclf models add silero-vad yamnet`, or
STREAMCLF_MODELS). A peer that is not installed is fetched into .run/peers; where that fails, its line says so.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import streamclf.blas  # noqa: F401  one thread, as in the daemon; before numpy is imported

# isort: split
import argparse
import importlib
import json
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime as ort

from streamclf.audio.ring import Ring
from streamclf.commands.fileear import SIDE_BY_SIDE
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.stream import Stream
from streamclf.features.frontend import make_frontend
from streamclf.model.fusedsession import open_session
from streamclf.model.library import find_pack
from streamclf.model.pack import Pack
from streamclf.model.session import Session
from streamclf.types import F32, Provider

RATE, HOP, CHUNK = 16_000, 320, 512
ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".run" / "peers"
Ways = dict[str, Callable[[], object]]


def main() -> None:
    """Print the tables."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rounds", type=int, default=7)
    asked.add_argument("--only", default="", help="tables whose name holds this text")
    asked.add_argument("--json", type=Path)
    chosen = asked.parse_args()
    found: dict[str, dict[str, float]] = {}
    for title, (make, unit) in TABLES.items():
        if chosen.only in title:
            found[title] = told(title, unit, least(make(), chosen.rounds))
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))


def told(title: str, unit: str, taken: Mapping[str, float]) -> dict[str, float]:
    """A table in Markdown. The first way is what the others are set against."""
    print(f"\n| {title} | {unit} | ratio |\n|---|---|---|")
    base = next(iter(taken.values()))
    for name, value in taken.items():
        print(f"| {name} | {value:.2f} | {value / base:.2f} |", flush=True)
    return dict(taken)


def least(ways: Ways, rounds: int) -> dict[str, float]:
    """Thread-CPU milliseconds of each."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.thread_time_ns()
            way()
            best[name] = min(best[name], (time.thread_time_ns() - began) / 1e6)
    return best


def sound(seconds: float) -> F32:
    """Noise that swells and fades."""
    count = int(seconds * RATE)
    swell = 0.001 + 0.1 * np.abs(np.sin(np.arange(count) / 30000))
    return (np.random.default_rng(0).standard_normal(count) * swell).astype(np.float32)


def hot_silero() -> Ways:
    """A minute of sound, as fast as it goes; the time of one 32 ms chunk would be its 1,875th part."""
    heard = sound(60)
    pack = find_pack("silero-vad")
    ways: Ways = {}
    iterator = package_iterator()
    chunks = [heard[at : at + CHUNK] for at in range(0, len(heard) - CHUNK + 1, CHUNK)]
    ways["silero-vad's iterator"] = lambda: [iterator(chunk) for chunk in chunks]
    ways["ONNX Runtime alone"] = lambda: runtime_alone(pack, chunks)
    peer = sherpa()
    if peer is not None:
        ways["sherpa-onnx's detector"] = lambda: peer(chunks)
    ways["the engine, 20 ms at a time as it comes live"] = engine_way(pack, heard)
    ways["the same with levels and spectrum"] = engine_way(pack, heard, drawn=True)
    ways["the engine, 100 ms at a time as it is read while nobody listens"] = engine_way(pack, heard, block=5 * HOP)
    ways["the engine, a second at a time as a file is read"] = engine_way(pack, heard, block=RATE)
    return ways


def package_iterator() -> Callable[[F32], object]:
    """Of the package, on ONNX Runtime."""
    torch, silero = importlib.import_module("torch"), importlib.import_module("silero_vad")
    torch.set_num_threads(1)
    iterator = silero.VADIterator(silero.load_silero_vad(onnx=True))
    return lambda chunk: iterator(torch.from_numpy(chunk))


def silero_graph() -> Path:
    """The package's own."""
    return Path(importlib.import_module("silero_vad").__file__ or "").parent / "data" / "silero_vad.onnx"


def runtime_alone(pack: Pack, chunks: list[F32]) -> None:
    """The package's graph with its state and context, and nothing around it."""
    run = _graph_runner()
    state = np.zeros((2, 1, 128), np.float32)
    fed, rate = np.zeros((1, CHUNK + 64), np.float32), np.array(RATE, np.int64)
    for chunk in chunks:
        fed[0, :64] = fed[0, -64:]
        fed[0, 64:] = chunk
        _, state = run(None, {"input": fed, "state": state, "sr": rate})


_runners: list[Any] = []


def _graph_runner() -> Any:
    if not _runners:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        _runners.append(ort.InferenceSession(str(silero_graph()), options, providers=["CPUExecutionProvider"]).run)
    return _runners[0]


def sherpa() -> Callable[[list[F32]], None] | None:
    """sherpa-onnx's voice activity detector on the same graph; None where it cannot be had."""
    module = peer("sherpa_onnx", "sherpa-onnx", "sherpa-onnx-core")
    if module is None:
        return None
    config = module.VadModelConfig()
    config.silero_vad.model = str(silero_graph())
    config.sample_rate = RATE
    config.num_threads = 1
    detector = module.VoiceActivityDetector(config, buffer_size_in_seconds=30)

    def run(chunks: list[F32]) -> None:
        for chunk in chunks:
            detector.accept_waveform(chunk)
            while not detector.empty():
                detector.pop()

    return run


def peer(module: str, *wheels: str) -> Any:
    """A module, fetched where it is not installed. None, with a line that says so, where that fails."""
    sys.path.append(str(PEERS))
    try:
        return importlib.import_module(module)
    except ImportError:
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(PEERS), *wheels]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            print(f"{wheels[0]} cannot be installed here: no figure for it", file=sys.stderr)
            return None
        importlib.invalidate_caches()
        return importlib.import_module(module)


def engine_way(pack: Pack, heard: F32, *, drawn: bool = False, block: int = HOP) -> Callable[[], None]:
    """All of `heard` through an engine, in blocks of 20 ms as a live stream has them, or of a second as a file."""
    engine = Engine([PackRunner(pack, open_session(pack, provider=Provider.CPU))])
    ring = Ring(4 * RATE)
    engine.add(Stream("mic", rate=RATE, ring=ring, levels=drawn))
    engine.draw(drawn)

    def run() -> None:
        for at in range(0, len(heard), block):
            ring.write(heard[at : at + block])
            engine.tick()

    return run


def windows_of_yamnet() -> Ways:
    """Five seconds of sound, a window every 20 ms."""
    heard = sound(5)
    pack = find_pack("yamnet")
    manifest = pack.manifest
    session = Session(pack, provider=Provider.CPU)
    window = manifest.window

    def recomputed() -> None:
        frontend = make_frontend(manifest.features, RATE, history=2 * window)
        for start in range(0, len(heard) - window + 1, HOP):
            frontend.restart(0)
            frontend.push(heard[start : start + window])
            frontend.window(0, window, session.input_rows(1)[0])
            session.run([0])

    def runs_alone() -> None:
        for _ in range(0, len(heard) - window + 1, HOP):
            session.runtime(1)

    def engine(block: int) -> Callable[[], None]:
        runner = PackRunner(pack, open_session(pack, provider=Provider.CPU))

        def run() -> None:
            made, ring = Engine([runner]), Ring(4 * RATE)
            made.add(Stream("file", rate=RATE, ring=ring))
            for at in range(0, len(heard), block):
                ring.write(heard[at : at + block])
                made.drain()
            made.remove("file")

        return run

    return {
        "each window's features anew, and run": recomputed,
        "ONNX Runtime alone, a window a run": runs_alone,
        "the engine, live (a window a run)": engine(HOP),
        "the engine, from a file (windows together)": engine(RATE),
    }


def file_of_default() -> Ways:
    """A minute of sound as a file, by the pack that ships: against a plain script with the same graph."""
    heard = sound(60)
    pack = find_pack("default")
    manifest = pack.manifest
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    run = ort.InferenceSession(pack.model, options, providers=["CPUExecutionProvider"]).run
    frames = 2  # of log-mel, in a row

    def script() -> None:
        frontend = make_frontend(manifest.features, RATE, history=len(heard))
        frontend.push(heard)
        rows = np.zeros((frontend.available, *frontend.dims), np.float32)
        frontend.window(0, (len(rows) - 1) * frontend.frame_shift + frontend.frame_length, rows)
        fed = {one.input: np.zeros([size or 1 for size in one.shape], one.dtype) for one in manifest.state}
        wanted = [manifest.output, *(one.output for one in manifest.state)]
        for at in range(0, len(rows) - frames + 1, frames):
            _, *states = run(wanted, {manifest.input: rows[None, at : at + frames], **fed})
            fed = {one.input: state for one, state in zip(manifest.state, states, strict=True)}

    session = Session(pack, provider=Provider.CPU)

    def runs_alone() -> None:
        for _ in range(len(heard) // HOP):
            session.runtime(1)

    return {
        "a plain script with the same graph": script,
        "ONNX Runtime alone, bound": runs_alone,
        "the engine, a second at a time": engine_way(pack, heard, block=RATE),
        f"each of {SIDE_BY_SIDE} such files side by side, as classify hears them": side_by_side(pack, heard),
    }


def side_by_side(pack: Pack, heard: F32) -> Callable[[], None]:
    """Files that are each a part of `heard`, so that all together are as much sound."""
    engine = Engine([PackRunner(pack, open_session(pack, provider=Provider.CPU))])
    rings = [Ring(4 * RATE) for _ in range(SIDE_BY_SIDE)]
    for at, ring in enumerate(rings):
        engine.add(Stream(f"file{at}", rate=RATE, ring=ring))
    parts = np.split(heard[: len(heard) // SIDE_BY_SIDE // HOP * HOP * SIDE_BY_SIDE], SIDE_BY_SIDE)

    def run() -> None:
        for at in range(0, len(parts[0]), RATE):
            for ring, part in zip(rings, parts, strict=True):
                ring.write(part[at : at + RATE])
            engine.drain()

    return run


def features() -> Ways:
    """A minute of 64 log-mel bands of 25 ms every 10 ms, 20 ms a push."""
    heard = sound(60)
    pack = find_pack("yamnet")
    frontend = make_frontend(pack.manifest.features, RATE, history=RATE)
    out = np.zeros((2, 64), np.float32)
    at = 0

    def ours() -> None:
        nonlocal at
        for start in range(0, len(heard), HOP):
            frontend.push(heard[start : start + HOP])
            at += HOP
            if at > RATE:
                frontend.window((at - 560) // 160 * 160, 560, out)

    ways: Ways = {"ours, 20 ms a push": ours}
    if (librosa := peer("librosa", "librosa")) is not None:
        ways["librosa, all at once"] = lambda: np.log(
            librosa.feature.melspectrogram(
                y=heard, sr=RATE, n_fft=512, win_length=400, hop_length=160, center=False, power=1.0, n_mels=64
            )
            + 0.001
        )
    if (kaldi := peer("kaldi_native_fbank", "kaldi-native-fbank")) is not None:
        options = kaldi.FbankOptions()
        options.frame_opts.dither = 0.0
        options.mel_opts.num_bins = 64

        def by_kaldi() -> None:
            fbank = kaldi.OnlineFbank(options)
            done = 0
            for start in range(0, len(heard), HOP):
                fbank.accept_waveform(RATE, heard[start : start + HOP].tolist())
                while done < fbank.num_frames_ready:
                    fbank.get_frame(done)
                    done += 1

        ways["kaldi-native-fbank, 20 ms a push"] = by_kaldi
    return ways


TABLES: dict[str, tuple[Callable[[], Ways], str]] = {
    "Silero, a minute of sound": (hot_silero, "ms"),
    "the default pack, a minute of a file": (file_of_default, "ms"),
    "YAMNet every 20 ms, 5 s of sound": (windows_of_yamnet, "ms"),
    "log-mel, a minute of sound": (features, "ms"),
}

if __name__ == "__main__":
    main()
