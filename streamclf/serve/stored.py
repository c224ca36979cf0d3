"""The addresses that read what is kept on disk."""

from collections.abc import Mapping
from pathlib import Path

from streamclf.serve.access import Role
from streamclf.serve.history import History
from streamclf.serve.route import NotKeptError, Query, Reply, Route


def stored_routes(folder: Path | None) -> Mapping[str, Route]:
    """folder: of the store, None where nothing is kept; the addresses then say so."""
    if folder is None:
        return {"/v1/events": Route(Role.LABELS, _nothing_kept)}
    return {"/v1/events": Route(Role.LABELS, History(folder).answer, in_thread=True)}


def _nothing_kept(query: Query) -> Reply:
    raise NotKeptError("no events are kept; [store] enabled switches it on")
