"""docs/developers/http.md: every address that the daemon answers, from its tables of routes and its modules' texts."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from types import ModuleType

import msgspec
from msgspec import inspect as kinds

from streamclf import serve
from streamclf.fields import JSON_WORDS, keys_of
from streamclf.protocol.status import DaemonStatus
from streamclf.serve.http import login
from streamclf.serve.http.access import Access, ServerSettings
from streamclf.serve.http.pages import HEALTH_PATHS, Pages
from streamclf.serve.http.route import Route
from streamclf.serve.http.stored import stored_routes
from streamclf.serve.hub import Hub
from streamclf.serve.roles import Role
from tools.reference.markdown import anchor, code, page, paragraphs, prose, table

_SAID = {
    "/": "The page, and the files that it needs.",
    "/healthz": "Health, all of it: `ok`, `degraded` (200), or `down` (503) where a stream that should be heard is not "
    "heard and scored, a pack does not score, or events cannot be kept. Who shows a token (or everybody, where none is "
    "set) is told the reasons, and which streams and problems there are.",
    "/livez": "Whether the process goes on: 503 where its model thread has stopped and a restart would help.",
    "/readyz": "Whether it does its work: as `/healthz`, and 503 until every stream was heard and scored once.",
    "/metrics": "Metrics in the text format of Prometheus.",
    "/v1": "The websocket: see [the protocol](protocol.md).",
    "/v1/schema": "The protocol as an AsyncAPI 3 document.",
    "/v1/picture": "Levels and spectrum columns that are held, in the binary form of the message "
    "[`picture`](protocol.md#picture): `?stream=NAME`, and `&from=FRAME` for the first frame wanted.",
    "/v1/status": "How the daemon is, for people and for programs.",
    "/v1/session": "Who the caller is here, for the page: JSON.",
    "/v1/login": "Takes a token in exchange for a cookie, for the page alone (header `X-Streamclf: page`).",
    "/v1/logout": "Ends this browser's login, for the page alone (header `X-Streamclf: page`).",
}
"""What is said of addresses whose module says nothing of itself."""

_ANYBODY = ("/", *HEALTH_PATHS, "/v1/schema", *sorted(login.PATHS))

_ERRORS = (
    ("400", "The query does not fit; the text names the nearest field."),
    ("401", "A token is needed, or the one that came is wrong."),
    ("403", "The role may not; or the Host, the Origin or the page that asks is not allowed."),
    ("404", "There is nothing here, or what was asked for does not exist or is not kept."),
    ("405", "Only GET and HEAD are answered, and OPTIONS below `/v1/` for pages of allowed origins."),
    ("429", "Too many wrong tokens came from this address; wait some seconds."),
    ("503", "Too many connections, or the store cannot be read now."),
)


def text() -> str:
    """The page."""
    routes = {path: route.role for path, route in table_of_routes().items()}
    found = dict.fromkeys(_ANYBODY) | {"/v1": Role.LABELS} | routes
    documented = dict(documented_modules())
    rows = (
        (
            f"[`{path}`](#{anchor('GET ' + path)})" if path in documented else code(path),
            _role(role),
            _what(path, documented),
        )
        for path, role in sorted(found.items())
    )
    return page(
        "HTTP addresses",
        "Everything is on one port, by default `http://127.0.0.1:8765`, and only read: GET and HEAD. A token goes "
        "along as `Authorization: Bearer TOKEN` or `?token=TOKEN`; where none is set, everybody is admin. Times are "
        "nanoseconds since 1970, answers JSON unless something else is said. Pages of other sites may read what lies "
        "below `/v1/` where `server.origins` lets them in (CORS), with a token and never with a login's cookie; "
        "`/v1/session`, `/v1/login` and `/v1/logout` are for the daemon's own page alone.",
        table(("Address", "Role", "What it answers"), rows),
        "A role may do what those before it may: "
        + ", ".join(f"*{role.name.lower()}*" for role in Role)
        + ". A refusal is one sentence of plain text:",
        table(("Status", "When"), _ERRORS),
        *(_address(path, documented[path]) for path in sorted(documented)),
        "## What answers are made of",
        *map(_struct, _shared(documented.values())),
    )


def table_of_routes() -> dict[str, Route]:
    """Every route that wants a role. Those of /v1/status and /v1/loudness are the daemon's own."""
    pages = Pages(Hub(streams=[], packs=[]), Access(ServerSettings()), stored_routes(None))
    own = Route(Role.LABELS, lambda query: NotImplemented)
    return {**pages.routes, "/v1/status": own, "/v1/loudness": own}


def documented_modules() -> Iterator[tuple[str, ModuleType]]:
    """(address, module) of the modules of `serve` whose text begins with an address."""
    for found in pkgutil.walk_packages(serve.__path__, f"{serve.__name__}."):
        module = importlib.import_module(found.name)
        if begins := re.match(r"`GET (/[a-z0-9/]*)", module.__doc__ or ""):
            yield begins[1], module
    yield "/v1/status", importlib.import_module(DaemonStatus.__module__)


def _what(path: str, documented: dict[str, ModuleType]) -> str:
    if path in _SAID:
        return _SAID[path] if "](" in _SAID[path] else prose(_SAID[path])
    said = " ".join((documented[path].__doc__ or "").split("\n\n")[0].split()).partition(": ")[2]
    return prose(f"{said[:1].upper()}{said[1:]}")


def _role(role: Role | None) -> str:
    return "anybody" if role is None else role.name.lower()


def _address(path: str, module: ModuleType) -> str:
    own = _structs(module)
    parts = [f"## GET {path}", paragraphs(inspect.cleandoc(module.__doc__ or "")), *map(_struct, own)]
    return "\n\n".join(parts)


def _struct(kind: type[msgspec.Struct]) -> str:
    query = _is_asked(kind)
    rows = []
    for key in keys_of(kind, words=JSON_WORDS):
        shown = f"{key.kind}{f', {key.limits}' if key.limits else ''}{' or null' if key.null else ''}"
        default = code(key.default or "null") if query and key.default is not None else ""
        rows.append((code(key.name), shown, default, prose(key.text)))
    said = "" if query else paragraphs(inspect.cleandoc(kind.__doc__ or ""))
    parts = (
        f"### {'Query' if query else kind.__name__}",
        said,
        table(("Field", "Type", "Default", "What it is"), rows),
    )
    return "\n\n".join(part for part in parts if part)


def _is_asked(kind: type[msgspec.Struct]) -> bool:
    """Whether a struct is the query of an address, not a part of its answer."""
    return kind.__name__.endswith(("Asked", "Query"))


def _structs(module: ModuleType) -> list[type[msgspec.Struct]]:
    """The structs of a module, what is asked first, then what is answered: the whole before its parts."""
    own = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
    ]
    asked = [kind for kind in own if _is_asked(kind)]
    return asked + [kind for kind in reversed(own) if kind not in asked]


def _shared(modules: Iterable[ModuleType]) -> list[type[msgspec.Struct]]:
    """Structs that answers hold and that are at home elsewhere, by name."""
    own = [kind for module in modules for kind in _structs(module)]
    found: dict[str, type[msgspec.Struct]] = {}
    for info in kinds.multi_type_info(own):
        for kind in _within(info):
            if kind not in own:
                found[kind.__name__] = kind
    return [found[name] for name in sorted(found)]


def _within(kind: kinds.Type) -> Iterator[type[msgspec.Struct]]:
    """Every struct in a type, itself included."""
    if isinstance(kind, kinds.StructType):
        yield kind.cls
        for field in kind.fields:
            yield from _within(field.type)
    elif isinstance(kind, kinds.ListType | kinds.VarTupleType):
        yield from _within(kind.item_type)
    elif isinstance(kind, kinds.UnionType):
        for part in kind.types:
            yield from _within(part)
    elif isinstance(kind, kinds.DictType):
        yield from _within(kind.value_type)
    elif isinstance(kind, kinds.Metadata):
        yield from _within(kind.type)
