"""Does what examples/deploy/Dockerfile says, without a container engine: `python -m tools.container BASE`, as root.

BASE is a folder with a Debian that has Python, such as `debootstrap --include=python3,python3-venv` makes. Each stage
is a copy of it, in which the stage's own commands run under chroot, as they are written. Then the program is started
there as the image's user, with the root read-only and no capabilities, until the image's own health check is content,
and stopped by SIGTERM.

What this does not try: the base image that the Dockerfile names, layers, volumes, and what an engine adds of its own.
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.lab.daemon import free_port
from tools.lab.dockerfile import ImageStage, Instruction, context, stages

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "examples" / "deploy" / "Dockerfile"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HEALTHY_S = 120.0
# $1: the root. Its own mounts are gone with the namespace.
_ENTER = """set -e
mount --make-rprivate /
root="$1"; shift
mount --bind "$root" "$root"
if [ -n "$READ_ONLY" ]; then
  mount -o remount,ro,bind "$root"
  mount -t tmpfs -o noexec,nosuid,nodev tmpfs "$root/tmp"
  mount --bind "$READ_ONLY" "$root/var/lib/streamclf"
fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for place in $SHOWN; do
  [ -d "$root$place" ] || mkdir -p "$root$place"
  mount --bind "$place" "$root$place"
  mount -o remount,ro,bind "$root$place"
done
exec "$@"
"""


def entering(root: Path, *words: str, shown: Sequence[str] = (), store: Path | None = None) -> list[str]:
    """A command that runs `words` in namespaces where all is mounted; store: with it the root is read-only."""
    settings = [f"SHOWN={' '.join(shown)}", f"READ_ONLY={store or ''}"]
    return [
        "env",
        *settings,
        "unshare",
        "-m",
        "-p",
        "-f",
        "--kill-child",
        "bash",
        "-c",
        _ENTER,
        "enter",
        str(root),
        *words,
    ]


def built(
    stage: ImageStage, root: Path, made: Mapping[str, Path], arguments: Mapping[str, str], shown: Sequence[str]
) -> dict[str, str]:
    """Carry out the stage in `root`; gives its environment. made: root of each stage before it, by name."""
    files = context(ROOT, DOCKERFILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8"))
    env: dict[str, str] = {"PATH": _PATH, "DEBIAN_FRONTEND": "noninteractive"}
    build: dict[str, str] = {}
    for each in stage.instructions:
        if each.word == "ARG":
            build |= {name: arguments.get(name, value) for name, value in each.pairs.items()}
        elif each.word == "ENV":
            env |= each.pairs
        elif each.word == "COPY":
            copied(each, root, made, files)
        elif each.word == "RUN":
            print(f"RUN {each.text}", flush=True)
            given = [f"{name}={value}" for name, value in (env | build).items()]
            command = ["chroot", str(root), "/usr/bin/env", "-i", *given, "/bin/sh", "-c", each.text]
            subprocess.run(entering(root, *command, shown=shown), check=True, stdin=subprocess.DEVNULL)
    return env


def copied(each: Instruction, root: Path, made: Mapping[str, Path], files: Sequence[Path]) -> None:
    """What COPY does. Raises `FileNotFoundError` where the build is not given what is to be copied."""
    *sources, target = each.words
    for source in sources:
        to = root / target.lstrip("/")
        to = to / Path(source).name if target.endswith("/") else to
        if "from" in each.flags:
            shutil.copytree(made[each.flags["from"]] / source.lstrip("/"), to, symlinks=True, dirs_exist_ok=True)
            continue
        given = [path for path in files if path == Path(source) or Path(source) in path.parents]
        if not given:
            raise FileNotFoundError(f"line {each.line}: {source} is not there, or .dockerignore leaves it out")
        for path in given:
            place = to if path == Path(source) else to / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, place)
            place.chmod(0o755 if os.access(ROOT / path, os.X_OK) else 0o644)


def started(stage: ImageStage, root: Path, env: Mapping[str, str], folder: Path, shown: Sequence[str]) -> str:
    """Start the image's program; "" where it became healthy and stopped in order, else what went wrong."""
    (user,), (entry,), (health,) = (stage.all(word) for word in ("USER", "ENTRYPOINT", "HEALTHCHECK"))
    store = folder / "store"
    store.mkdir(mode=0o700)
    os.chown(store, int(user.text), int(user.text))
    (root / "etc/streamclf/config.toml").write_text('source = ["push:kitchen,16000"]\n', encoding="utf-8")
    secret = root / "etc/streamclf/token"
    secret.write_text("0123456789abcdef", encoding="utf-8")
    secret.chmod(0o400)
    os.chown(secret, int(user.text), int(user.text))
    given = [f"{name}={value}" for name, value in env.items()]
    given += ["STREAMCLF_SERVER_TOKEN_FILE=/etc/streamclf/token", f"STREAMCLF_SERVER_PORT={free_port()}"]
    drop = [
        "setpriv",
        "--reuid",
        user.text,
        "--regid",
        user.text,
        "--clear-groups",
        "--no-new-privs",
        "--bounding-set=-all",
    ]
    as_user = ["chroot", str(root), "/usr/bin/env", "-i", *given, *drop]
    (command,) = stage.all("CMD")
    daemon = subprocess.Popen(entering(root, *as_user, *entry.words, *command.words, shown=shown, store=store))
    check = shlex.join([*as_user, *stage_words(health)])
    try:
        deadline = time.monotonic() + _HEALTHY_S
        while (said := subprocess.run(["sh", "-c", check], capture_output=True, text=True, check=False)).returncode:
            if daemon.poll() is not None or time.monotonic() > deadline:
                return f"the health check was never content: {said.stderr.strip()[-300:]}"
            time.sleep(0.3)
    finally:
        children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children")  # gone with it, where it has ended by itself
        for child in children.read_text().split() if children.exists() else []:
            os.kill(int(child), signal.SIGTERM)
        code = daemon.wait(60)
    kept = sorted(path.name for path in store.rglob("*"))
    return "" if code == 0 and kept else f"it ended with {code} and kept {kept}"


def stage_words(health: Instruction) -> list[str]:
    """The command of a HEALTHCHECK in the form of an array."""
    return Instruction("CMD", {}, health.text.removeprefix("CMD").strip(), health.line).words


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and start. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.container", description=str(__doc__).partition("\n")[0])
    parser.add_argument("base", type=Path, help="folder with a Debian that has python3 and python3-venv")
    parser.add_argument("--lock", default="run", help="build argument LOCK; default run")
    parser.add_argument(
        "--show", action="append", default=[], metavar="FOLDER", help="a folder to be seen in there, too"
    )
    parser.add_argument(
        "--etc", action="append", default=[], type=Path, metavar="FILE", help="a file to copy, such as pip's own"
    )
    given = parser.parse_args(arguments)
    if os.geteuid() != 0:
        parser.error("mounts and chroot take root")
    with tempfile.TemporaryDirectory(prefix="streamclf-container-") as name:
        made: dict[str, Path] = {}
        for number, stage in enumerate(stages(DOCKERFILE.read_text(encoding="utf-8"))):
            root = Path(name) / f"stage{number}"
            subprocess.run(["cp", "-a", str(given.base), str(root)], check=True)
            for file in (Path("/etc/resolv.conf"), *given.etc):
                (root / str(file.parent).lstrip("/")).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, root / str(file).lstrip("/"))
            env = built(stage, root, made, {"LOCK": given.lock}, given.show)
            made[stage.name] = root
        fault = started(stage, root, env, Path(name), given.show)
    print(f"tools.container: {fault or 'both stages are built; the program became healthy and stopped in order'}")
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
