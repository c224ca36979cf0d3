"""Walks the syntax trees of the package and says where an import points the wrong way or leaves its quarantine."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PLAIN = (
    "blas",
    "errors",
    "clock",
    "states",
    "types",
    "fields",
    "text",
    "times",
    "toml",
    "trust",
    "retry",
    "network",
    "room",
    "scan",
    "sensitivity",
)
# The rooms from the ground up, a line for each floor: a module may import its own room and those of lower floors. "" is
# streamclf/__init__.py. On the lowest and the highest floor there are no walls.
ORDER: tuple[tuple[str, ...], ...] = (
    ("", *_PLAIN, "metrics", "config"),
    ("protocol", "audio"),
    ("features",),
    ("model",),
    ("engine",),
    ("store",),
    ("alerts", "teach"),
    ("writer", "draw"),
    ("serve", "client"),
    ("daemon",),
    ("commands", "cli", "__main__"),
)
OPEN_FLOORS = (0, len(ORDER) - 1)
UPSTAIRS = {"serve": ("http", "fanout")}  # within a room: its folders, the lower before the higher, above all else
LEVELS = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
TRAIN = "train"
TRAIN_RESTS_ON = "engine"  # train may import the rooms up to this one
TRAIN_DOORS = ("cli", "commands")  # may import train, inside a function alone

# What only some places may import: a file, or a folder where the name ends in "/". An empty tuple is nobody.
QUARANTINE: dict[str, tuple[str, ...]] = {
    # sessions in one place; train/quantise.py calls its offline tools, and runs no graph
    "onnxruntime": ("model/session.py", "model/providers.py", "train/export/quantise.py"),
    "sounddevice": ("audio/sources/portaudio.py",),
    "torch": ("train/",),
    "torchaudio": ("train/",),
    "transformers": ("train/",),
    "asyncio": (
        "alerts/dispatch.py",
        "alerts/service.py",
        "alerts/testing.py",
        "alerts/sinks/",
        "serve/",
        "client/",
        "daemon/",
        "commands/listen.py",
        "commands/marks.py",
        "commands/snapshot.py",
        "commands/teach.py",
    ),
    "threading": (
        "audio/",
        "engine/runner.py",
        "engine/making.py",
        "engine/watch.py",
        "writer/writer.py",
        "writer/housekeeping.py",
        "daemon/",
    ),
    "_thread": ("audio/", "engine/runner.py"),
    "time": (
        "alerts/service.py",
        "alerts/testing.py",
        "alerts/sinks/",
        "audio/sources/",
        "audio/wake.py",
        "engine/runner.py",
        "engine/making.py",
        "engine/watch.py",
        "engine/verify.py",  # what streaming saves
        "model/session.py",  # what a run takes
        "writer/writer.py",
        "writer/recovery.py",
        "writer/housekeeping.py",
        "serve/",
        "client/",
        "daemon/",
        "commands/",
        "cli.py",
        "train/",
    ),
    "timeit": ("train/",),  # a clock by another name
    "concurrent": ("daemon/", "writer/housekeeping.py"),  # threads by another name
    "multiprocessing": (),
    "psycopg": ("store/postgres.py", "daemon/central.py"),
    "PIL": ("draw/canvas.py",),
    "grpc": ("model/kserve.py",),
    "tritonclient": ("model/kserve.py",),
    "subprocess": (
        "model/recipes/",
        "model/recipes.py",
        "engine/trial.py",
        "audio/sources/lister.py",
        "commands/workers.py",
    ),
    # what can execute code out of data
    **dict.fromkeys(("pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"), ()),
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module by its absolute dotted name; `lazy` when it stands inside a function."""

    name: str
    line: int
    lazy: bool


def modules(package: Path) -> Iterator[tuple[str, str]]:
    """Yields (path relative to the package with "/", source text) of every module under `package`."""
    for path in sorted(package.rglob("*.py")):
        yield path.relative_to(package).as_posix(), path.read_text(encoding="utf-8")


def faults(path: str, source: str) -> list[str]:
    """Everything wrong with the module at `path` (relative to streamclf/), one sentence each."""
    tree = ast.parse(source)
    walked = list(_walk(tree, False))
    nodes = [node for node, _ in walked]
    found = [f"{path}:{line}: {what}" for line, what in (*_forbidden_calls(nodes), *_clocks(path, nodes))]
    for item in _imports(path, walked):
        fault = _direction(path, item) if item.name.split(".")[0] == "streamclf" else _quarantine(path, item)
        if fault:
            found.append(f"{path}:{item.line}: {fault}")
    return found


def room_of(path: str) -> str:
    """The room of a module: the first part of its path, "" for the package's own `__init__.py`."""
    first = path.split("/")[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def _direction(path: str, item: Import) -> str:
    here = room_of(path)
    there = [*item.name.split("."), ""][1]
    for room in (here, there):
        if room != TRAIN and room not in LEVELS:
            return f"{room!r} is not a room of the house; give it a place in ORDER"
    if here == there:
        return _upstairs(path, item)
    if here == TRAIN:
        if LEVELS[there] <= LEVELS[TRAIN_RESTS_ON]:
            return ""
        return f"train rests on the rooms up to {TRAIN_RESTS_ON} and must not import {there}"
    if there == TRAIN:
        if here in TRAIN_DOORS and item.lazy:
            return ""
        return "train is imported only by the command line, and there inside a function"
    if LEVELS[there] == LEVELS[here] and LEVELS[here] not in OPEN_FLOORS:
        return f"{here} must not import {there}, which stands beside it"
    if LEVELS[there] > LEVELS[here]:
        return f"{here or 'the package itself'} must not import {there}, which stands above it"
    return ""


def _upstairs(path: str, item: Import) -> str:
    room, *rest = path.split("/")
    folders = ("", *UPSTAIRS.get(room, ()))
    here, there = rest[0] if rest and rest[0] in folders else "", next(iter(item.name.split(".")[2:3]), "")
    if there not in folders or folders.index(there) <= folders.index(here):
        return ""
    return f"{room}{f'/{here}' if here else ''} must not import {room}/{there}, which stands above it"


def _quarantine(path: str, item: Import) -> str:
    name = item.name.split(".")[0]
    allowed = QUARANTINE.get(name)
    if allowed is None or any(path == place or (place[-1] == "/" and path.startswith(place)) for place in allowed):
        return ""
    return f"{name} may be imported only in {', '.join(allowed)}" if allowed else f"{name} may not be imported"


def _imports(path: str, walked: Sequence[tuple[ast.AST, bool]]) -> Iterator[Import]:
    package = ["streamclf", *path.split("/")[:-1]]
    for node, lazy in walked:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, lazy)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join(base + ([node.module] if node.module else []))
            if name == "streamclf":  # `from streamclf import audio` imports a room, `import __version__` does not
                for alias in node.names:
                    room = alias.name in LEVELS or alias.name == TRAIN
                    yield Import(f"streamclf.{alias.name}" if room else name, node.lineno, lazy)
            else:
                yield Import(name, node.lineno, lazy)
        elif isinstance(node, ast.Call) and _called(node) in ("__import__", "import_module") and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield Import(first.value, node.lineno, lazy)


def _forbidden_calls(nodes: Sequence[ast.AST]) -> Iterator[tuple[int, str]]:
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
            yield node.lineno, f"{node.func.id}() may not be called"
        for keyword in node.keywords:
            value = keyword.value
            safe = isinstance(value, ast.Constant) and value.value is False
            if keyword.arg == "allow_pickle" and not safe:
                yield node.lineno, "allow_pickle may only be False"


def _clocks(path: str, nodes: Sequence[ast.AST]) -> Iterator[tuple[int, str]]:
    """Where `datetime` is asked what time it is, by a module that may not import `time`."""
    if not (fault := _quarantine(path, Import("time", 0, False))):
        return
    modules, classes = set(), set()
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name for alias in node.names if alias.name == "datetime"}
        elif isinstance(node, ast.ImportFrom) and node.module == "datetime":
            classes |= {alias.asname or alias.name for alias in node.names if alias.name in ("datetime", "date")}
    names = classes | {f"{module}.{name}" for module in modules for name in ("datetime", "date")}
    for node in nodes:
        if not isinstance(node, ast.Attribute) or node.attr not in ("now", "utcnow", "today"):
            continue
        if ast.unparse(node.value) in names:
            yield node.lineno, f"{ast.unparse(node)} reads the clock, and {fault}"


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _for_types(node: ast.AST) -> bool:
    """Whether what stands in it is read by type checkers alone."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _walk(node: ast.AST, lazy: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below `node`, with whether it stands inside a function, or is there for types alone."""
    waiting = [(node, lazy)]
    while waiting:
        parent, inside = waiting.pop()
        for child in ast.iter_child_nodes(parent):
            hidden = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            hidden = hidden or _for_types(child)
            yield child, hidden
            waiting.append((child, hidden))
