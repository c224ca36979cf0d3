"""`classify` of files as they come, some damaged, against FFmpeg: `python -m tools.mixed_files FOLDER...`.

Files are drawn from the folders evenly by suffix, and every fifth is damaged in a copy: cut, zeroed or overwritten in
part. Each is decoded by FFmpeg (PyAV) alone, in another process. Then one `classify --summary` hears them all: what
FFmpeg decodes is in its table and as long, the rest is named; no traceback, the exit code is right, memory is bounded.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil

_KINDS = (
    "wav flac ogg oga opus mp3 mp2 aif aiff aifc au snd w64 caf m4a m4b mp4 mov aac wma asf webm mka mkv wv ape tta "
    "tak mpc dsf dff ofr spx oggflac oggtheora amr 3gp ac3 voc avi gsm"
)
_DAMAGED = 5  # every so manieth
_LOOK_S = 0.05
_MOST_MB = 600
_REFERENCE = """
import sys, av
av.logging.set_level(None)
for path in sys.argv[1:]:
    samples = rate = 0
    try:
        with av.open(path, metadata_errors="replace") as container:
            if container.streams.audio:
                stream = container.streams.audio[0]
                if container.format.name == "flac":  # a frame whose sum is wrong is noise
                    stream.codec_context.options = {"err_detect": "crccheck+explode"}
                for packet in container.demux(stream):
                    try:
                        frames = packet.decode()
                    except av.FFmpegError:
                        continue
                    for frame in frames:
                        samples, rate = samples + frame.samples, frame.sample_rate
    except (av.FFmpegError, OSError, ValueError):
        pass
    print(samples / rate if rate else 0, flush=True)
"""


def drawn(folders: list[Path], count: int, seed: int) -> list[Path]:
    """So many files, evenly by suffix as far as there are."""
    by_suffix: dict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower()[1:] in _KINDS.split() and path.is_file():
                by_suffix[path.suffix.lower()].append(path)
    chance = random.Random(seed)
    for paths in by_suffix.values():
        chance.shuffle(paths)
    found: list[Path] = []
    while len(found) < count and any(by_suffix.values()):
        found += [paths.pop() for paths in by_suffix.values() if paths]
    return found[:count]


def damaged(path: Path, into: Path, chance: random.Random) -> Path:
    """A copy that is cut, or of which a part is zeros or noise."""
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data) + 1)
    end = min(len(data), at + chance.randrange(1, 1 + len(data) // 2 + 1))
    match chance.choice(("cut", "zeros", "noise")):
        case "cut":
            del data[at:]
        case "zeros":
            data[at:end] = bytes(end - at)
        case _:
            data[at:end] = chance.randbytes(end - at)
    into.mkdir()
    copy = into / path.name
    copy.write_bytes(data)
    return copy


def decoded_s(files: list[Path]) -> dict[str, float]:
    """Seconds of each that FFmpeg decodes, 0 where it decodes none."""
    found: list[float] = []
    while len(found) < len(files):
        command = [sys.executable, "-c", _REFERENCE, *map(str, files[len(found) :])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found += map(float, done.stdout.split())
        if done.returncode:  # it crashed over the next one
            found.append(0.0)
    return dict(zip(map(str, files), found, strict=True))


def classified(files: list[Path], table: Path) -> tuple[int, str, float]:
    """(exit code, standard error, most memory of all its processes in MB)."""
    command = [sys.executable, "-m", "streamclf", "classify", *map(str, files), "--summary", "--out", str(table)]
    most = 0.0
    with tempfile.TemporaryFile("w+") as said:
        running = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        while running.poll() is None:
            total = 0
            for process in (running, *running.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            most = max(most, total / 1e6)
            time.sleep(_LOOK_S)
        said.seek(0)
        return running.returncode, said.read(), most


def main() -> int:
    """Print what went otherwise than it should; 1 where anything did."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    files = drawn(asked.folders, asked.count, asked.seed)
    chance = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for at in range(0, len(files), _DAMAGED):
            files[at] = damaged(files[at], place / f"{at}", chance)
        expected = decoded_s(files)
        table = place / "all.ndjson"
        code, said, most_mb = classified(files, table)
        rows = {row["file"]: row for line in table.read_text("utf-8").splitlines() if (row := json.loads(line))}
    faults = judged(expected, {path: row["duration_s"] for path, row in rows.items()}, said)
    named = [path for path in expected if path not in rows]
    if code != (1 if named else 0):
        faults.append(f"exit code {code} with {len(named)} files not heard")
    if most_mb > _MOST_MB:
        faults.append(f"{most_mb:.0f} MB of memory")
    print("\n".join(faults))
    whole = sum(seconds > 0 for seconds in expected.values())
    kinds = {path.suffix.lower() for path in files}
    print(
        f"{len(files)} files of {len(kinds)} kinds, {len(files[::_DAMAGED])} damaged: "
        f"FFmpeg decodes {whole}, classify {len(rows)}, named {len(named)}; {len(said.splitlines())} lines on standard "
        f"error, exit code {code}, {most_mb:.0f} MB in all; {len(faults)} faults"
    )
    return 1 if faults else 0


def judged(expected: dict[str, float], heard: dict[str, float], said: str) -> list[str]:
    """What went wrong, a line each. expected, heard: seconds of each file."""
    faults = ["a traceback"] if "Traceback" in said else []
    lines = said.splitlines()
    faults += [f"noise on standard error: {line[:150]}" for line in lines if not line.startswith("streamclf: ")]
    for path, seconds in expected.items():
        told = any(path in line for line in lines)
        if seconds and path not in heard:
            faults.append(f"{path}: FFmpeg decodes {seconds:.2f} s, not heard")
        elif path not in heard and not told:
            faults.append(f"{path}: neither heard nor named")
        elif path in heard and heard[path] < 0.98 * seconds - 0.2 and not told:
            faults.append(f"{path}: FFmpeg decodes {seconds:.2f} s, {heard[path]:.2f} heard, and nothing said")
    return faults


if __name__ == "__main__":
    sys.exit(main())
