"""The page's built files, read once: name, kind, tag, and gzipped in advance. What a path asks for is never joined."""

import gzip
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path, PurePosixPath

from websockets.datastructures import Headers

# Who works on the page names the folder of an own build here; nobody else needs it.
_OWN_BUILD = "STREAMCLF_WEB_DIST"
_INDEX = "index.html"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class SiteFile:
    """One file. tag: changes with its bytes, so that a browser asks again each time and gets them only when new."""

    body: bytes
    packed: bytes
    kind: str
    tag: str

    @classmethod
    def of(cls, name: str, body: bytes) -> "SiteFile":
        """The file of this name with these bytes."""
        kind = _KINDS[PurePosixPath(name).suffix]
        return cls(body, gzip.compress(body, mtime=0), kind, f'"{sha256(body).hexdigest()[:20]}"')

    def answer(self, asked: Headers) -> tuple[HTTPStatus, bytes, Mapping[str, str]]:
        """Status, body and further headers for a request with these headers."""
        more = {"ETag": self.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        # a proxy that packs our answer itself may weaken the tag
        if self.tag in ", ".join(asked.get_all("If-None-Match")):
            return HTTPStatus.NOT_MODIFIED, b"", more
        encodings = {part.partition(";")[0].strip() for part in ", ".join(asked.get_all("Accept-Encoding")).split(",")}
        if "gzip" in encodings and len(self.packed) < len(self.body):
            return HTTPStatus.OK, self.packed, {**more, "Content-Encoding": "gzip"}
        return HTTPStatus.OK, self.body, more


def load() -> dict[str, SiteFile]:
    """By path: `/` is the page, every other file has its own name."""
    own = os.environ.get(_OWN_BUILD)
    folder = Path(own) if own else files("streamclf").joinpath("web", "dist")
    found = {file.name: SiteFile.of(file.name, file.read_bytes()) for file in folder.iterdir() if file.is_file()}
    return {"/" if name == _INDEX else f"/{name}": file for name, file in found.items()}
