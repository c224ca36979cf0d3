"""`streamclf doctor`: whether a run would work on this machine, and what to do where it would not."""

import ctypes
import ctypes.util
import dataclasses
import json
import os
import platform
import socket
import sys
from collections.abc import Iterator
from enum import StrEnum
from importlib import metadata

import click

from streamclf import __version__
from streamclf.errors import StreamclfError
from streamclf.text import plain

HELP = "Check that this machine can run streamclf."

ORT_WHEELS = ("onnxruntime", "onnxruntime-gpu")
NVIDIA_PLACES = ("/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/dxg")
"""One of these is there where an NVIDIA device can be used (the last one: under Windows). tools/lib.sh looks too."""


class State(StrEnum):
    """Outcome of one check. Only `PROBLEM` keeps a run from working."""

    GOOD = "good"
    NOTE = "note"
    PROBLEM = "problem"


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what was found and, where it is not good, what to do."""

    name: str
    state: State
    found: str
    advice: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def doctor(as_json: bool) -> None:
    """Check that this machine can run streamclf: runtime, providers, packs, audio inputs, event store, port.

    The exit code is 0 where a run would work, else 1; every problem comes with what to do.
    """
    checks = list(_examine())
    works = all(check.state is not State.PROBLEM for check in checks)
    if as_json:
        click.echo(json.dumps({"works": works, "checks": [dataclasses.asdict(check) for check in checks]}, indent=2))
    else:
        for check in checks:
            click.echo(f"{check.state.value:8} {check.name:16} {plain(check.found)}")
            if check.advice:
                click.echo(f"{'':25} -> {plain(check.advice)}")
        click.echo("a run would work here" if works else "a run would not work here; see each `problem` above")
    sys.exit(0 if works else 1)


def _examine() -> Iterator[Check]:
    for look in (_versions, _runtime, _providers, _packs, _served, _audio, _store, _port):
        yield from look()


def _versions() -> Iterator[Check]:
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Check("streamclf", State.GOOD, __version__)
    yield Check("python", State.GOOD, python)


def _runtime() -> Iterator[Check]:
    installed = {name: version for name in ORT_WHEELS if (version := _version_of(name))}
    found = ", ".join(f"{name} {version}" for name, version in installed.items()) or "no wheel of onnxruntime"
    if len(installed) > 1:
        yield Check(
            "onnxruntime",
            State.NOTE,
            f"both {found}; they share a folder and overwrite each other",
            f"pip uninstall {' '.join(ORT_WHEELS)}, then install streamclf again",
        )
        return
    device = next((place for place in NVIDIA_PLACES if os.path.exists(place)), "")
    if "onnxruntime-gpu" in installed and not device:
        yield Check("onnxruntime", State.GOOD, f"{found}; it runs on the processor, for there is no NVIDIA device here")
    elif "onnxruntime" in installed and device:
        yield Check(
            "onnxruntime",
            State.NOTE,
            f"{found}, the build without CUDA, and here is an NVIDIA device ({device})",
            "to use it: pip uninstall onnxruntime, then pip install 'streamclf[cuda]'",
        )
    else:
        why = f"the build for the NVIDIA device ({device})" if device else "the small build: here is no NVIDIA device"
        yield Check("onnxruntime", State.GOOD, f"{found}, {why}" if installed else found)


def _version_of(wheel: str) -> str:
    try:
        return metadata.version(wheel)
    except metadata.PackageNotFoundError:
        return ""


def _providers() -> Iterator[Check]:
    try:
        from streamclf.model.providers import probe_providers
    except ImportError as error:
        yield Check("provider cpu", State.PROBLEM, f"ONNX Runtime cannot be imported: {error}", "install it again")
        return
    for name, reason in probe_providers().items():
        if not reason:
            yield Check(f"provider {name}", State.GOOD, "runs a graph")
        elif name == "cpu":
            yield Check(f"provider {name}", State.PROBLEM, reason, "install onnxruntime again")
        else:
            yield Check(f"provider {name}", State.NOTE, f"does not work: {reason}")


def _packs() -> Iterator[Check]:
    from streamclf.commands.models import renewal
    from streamclf.model.library import available_packs, user_models_dir

    found = available_packs()
    whole = [entry for entry in found if entry.problem is None]
    for entry in found:
        if entry.problem is None:
            told = f"{entry.shape}, {entry.labels} labels, all hashes right"
            newer = renewal(entry)
            if newer is None:
                yield Check(f"pack {entry.name}", State.GOOD, told)
            else:
                told += f"; version {newer.version} can be had"
                yield Check(f"pack {entry.name}", State.NOTE, told, f"take it with `{newer.command}`")
        else:
            advice = f"remove it with `streamclf models remove {entry.name}` and add it again"
            yield Check(f"pack {entry.name}", State.NOTE if whole else State.PROBLEM, entry.problem, advice)
    if not found:
        advice = "get one with `streamclf models add silero-vad` or `streamclf models add yamnet`"
        yield Check("packs", State.PROBLEM, f"none in {user_models_dir()}, and none ships", advice)


def _served() -> Iterator[Check]:
    from streamclf.config import load

    try:
        config = load()
    except StreamclfError:
        return  # the port's check tells of it
    if not config.kserve.url:
        return
    from streamclf.engine.build import load_packs, read_kserve
    from streamclf.model.session import Brake

    try:
        packs = load_packs(config.model)
        server = read_kserve(config, packs)
    except StreamclfError as error:
        yield Check("server of models", State.PROBLEM, str(error), "see `streamclf config check`")
        return
    assert server is not None
    graphs = {graph.digest: graph for pack in packs for graph in pack.graphs if server.runs(pack, graph)}
    for graph in graphs.values():
        name = f"{graph.manifest.name} there"
        try:
            server.graph(graph, Brake())
        except StreamclfError as error:
            yield Check(name, State.PROBLEM, str(error), "see that the server runs; a daemon waits for it and has gaps")
        else:
            yield Check(name, State.GOOD, f"the server at {server.public} has this very pack")


def _audio() -> Iterator[Check]:
    try:
        from streamclf.audio.sources.device import list_devices

        devices = list_devices()
    except (StreamclfError, ImportError) as error:
        yield Check("portaudio", State.NOTE, str(error), "files, pipes and pushed audio work without it")
        return
    yield Check("portaudio", State.GOOD, _portaudio())
    if not devices:
        advice = "plug a microphone in, or name a file, a pipe or push with --source"
        yield Check("audio input", State.NOTE, "none; streamclf run plays its demo then", advice)
    for device in devices:
        told = f"{device.name} ({device.host_api}, {device.rate} Hz, {device.channels} channels)"
        yield Check("audio input", State.GOOD, told + (", the default" if device.default else ""))


def _portaudio() -> str:
    """PortAudio's own version text; some wheels bring a copy that the system does not know."""
    path = ctypes.util.find_library("portaudio")
    if path is None:
        return "the copy inside sounddevice"
    try:
        tell = ctypes.CDLL(path).Pa_GetVersionText
    except (OSError, AttributeError):
        return "of unknown version"
    tell.restype = ctypes.c_char_p
    version: bytes = tell()
    return version.decode(errors="replace")


def _store() -> Iterator[Check]:
    from streamclf.config import load, store_folder
    from streamclf.store.database import obstacle

    try:
        config = load()
    except StreamclfError:
        return  # the port's check tells of it
    folder = store_folder(config)
    if not config.store.enabled:
        yield Check("event store", State.GOOD, "switched off")
    elif why := obstacle(folder):
        yield Check("event store", State.PROBLEM, why, "name another folder with [store] path, or run --no-store")
    else:
        yield Check("event store", State.GOOD, f"{folder} can be used")


def _port() -> Iterator[Check]:
    from streamclf.config import load
    from streamclf.serve.http.tokens import read_tokens

    try:
        server = load().server
    except StreamclfError as error:
        yield Check("configuration", State.PROBLEM, str(error), "see `streamclf config check`")
        return
    try:
        admin, audio, labels = read_tokens(server, os.environ)
    except StreamclfError as error:
        yield Check("access", State.PROBLEM, str(error), "a run ends with this sentence; mend it first")
    else:
        roles = [role for role, token in (("admin", admin), ("audio", audio), ("labels", labels)) if token is not None]
        told = f"tokens for {', '.join(roles)}" if roles else "no token: everybody who gets to the daemon is admin"
        yield Check("access", State.GOOD, told)
    address = f"{server.host}:{server.port}"
    try:
        kind, _, _, _, where = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        advice = "stop what holds it (another streamclf?) or choose another with --port"
        yield Check("port", State.PROBLEM, f"{address} cannot be had: {error.strerror}", advice)
        return
    yield Check("port", State.GOOD, f"{address} is free")
