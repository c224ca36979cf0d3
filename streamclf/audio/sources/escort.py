"""Goes along with FFmpeg over http: whatever a server leads to, by redirects, play lists and names, is judged first.

FFmpeg connects to whatever it is told to. So it is given this as its proxy, one for each open address and for this
process alone: each name is looked up here, judged, and that very address is used. **A server may lead as far out as it
likes, and never further in** than the outermost that has been spoken to: from the internet not into the local network,
and from there not into this machine (`network.depth`). The place that the user named stays allowed, where it was found.

Bytes go through as they come; https stays closed to this, as to any proxy. A proxy of the user's (`http_proxy`) is
asked as before; it looks names up itself, so only addresses that are written as numbers can be judged then.
"""

import base64
import ipaddress
import os
import secrets
import selectors
import socket
from contextlib import suppress
from threading import Lock, Thread
from urllib.parse import unquote, urlsplit

from streamclf.network import depth
from streamclf.text import clean

MOST_LED = 8
"""Redirects that FFmpeg follows for one opening."""
_MOST_HEAD = 64 * 1024  # bytes of a request's head
_HEAD_S = 10.0  # to say it, and to reach the server
_CHUNK = 64 * 1024
_SHOWN = 80  # characters of a host that somebody else has named


def take_over() -> None:
    """FFmpeg does not ask whatever proxy it was given for what `no_proxy` names; here that is looked at instead.

    Before FFmpeg reads its environment for the first time. Libraries of Python read `NO_PROXY` as well.
    """
    if (spared := os.environ.pop("no_proxy", None)) is not None:
        os.environ["NO_PROXY"] = spared


class Escort:
    """Of one open address. `proxy`: what FFmpeg is told to use."""

    def __init__(self) -> None:
        self.refused = ""
        """Why something was not connected to, as a sentence for the log; "" where all was."""
        self.failed = ""
        """Why the last server could not be reached, "" where it was."""
        self.asked = 0
        """Requests that were let through."""
        self._first = ""  # host and address that were reached first: the user's own words
        self._outermost = 2
        self._lock = Lock()  # connections of a play list may be opened side by side
        self._open: set[socket.socket] = set()
        self._closed = False
        key = secrets.token_hex(16)
        self._key = b"Basic " + base64.b64encode(f"streamclf:{key}".encode())
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.proxy = f"http://streamclf:{key}@127.0.0.1:{self._listener.getsockname()[1]}"
        Thread(target=self._accept, name="escort", daemon=True).start()

    def close(self) -> None:
        """Ends all that is open."""
        with self._lock:
            self._closed = True
            still = {self._listener, *self._open}
        for one in still:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._serve, args=(near,), name="escort", daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        far: socket.socket | None = None
        try:
            if not self._hold(near):
                return
            near.settimeout(_HEAD_S)
            head, rest = _head_of(near)
            lines = head.split(b"\r\n")
            method, target, version = (*lines[0].split(b" ", 2), b"", b"")[:3]
            if not self._is_ours(lines):
                near.sendall(_answer(407, 'Proxy-Authenticate: Basic realm="streamclf"\r\n'))
                return
            host, port, path = _place(method, target)
            kept = [line for line in lines[1:] if not line.lower().startswith(b"proxy-")]
            upstream = _upstream(host)
            far = self._reach(host, port, upstream)
            if far is None or not self._hold(far):
                near.sendall(_answer(502))
                return
            self.asked += 1
            if upstream:
                far.sendall(b"\r\n".join([lines[0], *_credentials(upstream), *kept]) + b"\r\n\r\n" + rest)
            elif method == b"CONNECT":
                near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                far.sendall(b"\r\n".join([b" ".join((method, path, version)), *kept]) + b"\r\n\r\n" + rest)
            _pass_on(near, far)
        except (OSError, ValueError):
            pass  # either end has gone, or what was said is no request; FFmpeg sees the connection end
        finally:
            for one in (near, far):
                if one is not None:
                    self._let_go(one)

    def _hold(self, one: socket.socket) -> bool:
        with self._lock:
            self._open.add(one)
            return not self._closed

    def _let_go(self, one: socket.socket) -> None:
        with self._lock:
            self._open.discard(one)
        one.close()

    def _is_ours(self, lines: list[bytes]) -> bool:
        said = [line.split(b":", 1)[1].strip() for line in lines if line.lower().startswith(b"proxy-authorization:")]
        return len(said) == 1 and secrets.compare_digest(said[0], self._key)

    def _reach(self, host: str, port: int, upstream: str) -> socket.socket | None:
        if upstream:
            parts = urlsplit(upstream)
            if not self._may(host, _number(host)):
                return None
            return self._connect(parts.hostname or "", parts.port or 80, [parts.hostname or ""])
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as fault:
            self.failed = f"its name is not found ({getattr(fault, 'strerror', None) or 'no name'})"
            return None
        addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
        return self._connect(host, port, [address for address in addresses if self._may(host, address)])

    def _connect(self, host: str, port: int, addresses: list[str]) -> socket.socket | None:
        for address in addresses:
            try:
                far = socket.create_connection((address, port), timeout=_HEAD_S)
            except OSError as fault:
                self.failed = os.strerror(fault.errno) if fault.errno else "it does not answer"
                continue
            far.settimeout(None)
            self.failed = ""
            with self._lock:
                self._first = self._first or f"{host} {address}"
                if _number(address):
                    self._outermost = min(self._outermost, depth(address))
            return far
        return None

    def _may(self, host: str, address: str) -> bool:
        """Whether the address may be spoken to; `refused` says so where not. address: "" where it is not known."""
        with self._lock:
            if not self._first or not address or f"{host} {address}" == self._first:
                return True
            if depth(address) <= self._outermost:
                return True
            shown = clean(host, _SHOWN)
            meant = shown if shown == address else f"{shown} ({address})"
            self.refused = (
                f"it leads to {meant}, into this machine or its network, where no server further out may lead"
            )
            return False


def _head_of(near: socket.socket) -> tuple[bytes, bytes]:
    """The head of a request without its end, and what came behind. Raises OSError, ValueError."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = near.recv(_CHUNK)
        if not part or len(got) > _MOST_HEAD:
            raise ValueError
        got += part
    head, _, rest = got.partition(b"\r\n\r\n")
    return head, rest


def _place(method: bytes, target: bytes) -> tuple[str, int, bytes]:
    """Host, port and path that a request is for. Raises ValueError for what is none of http."""
    text = target.decode("latin-1")
    parts = urlsplit(f"//{text}" if method == b"CONNECT" else text)
    if not parts.hostname or (method != b"CONNECT" and parts.scheme != "http"):
        raise ValueError
    port = parts.port or (443 if method == b"CONNECT" else 80)
    _, _, rest = text.partition("://")
    slash = min((at for mark in "/?" if (at := rest.find(mark)) >= 0), default=len(rest))
    path = rest[slash:]
    return parts.hostname, port, (path if path.startswith("/") else f"/{path}").encode("latin-1")


def _upstream(host: str) -> str:
    """The user's own proxy for `host`, "" where there is none."""
    named = os.environ.get("http_proxy", "")
    if not named.startswith("http://"):
        return ""
    from urllib.request import proxy_bypass  # slow to import

    return "" if proxy_bypass(host) else named


def _credentials(upstream: str) -> list[bytes]:
    parts = urlsplit(upstream)
    if parts.username is None:
        return []
    said = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return [b"Proxy-Authorization: Basic " + base64.b64encode(said)]


def _number(host: str) -> str:
    """`host` where it is an address that is written as a number, or a name of this machine; else ""."""
    if host.rstrip(".").lower() == "localhost":
        return "127.0.0.1"
    with suppress(ValueError):
        return str(ipaddress.ip_address(host.partition("%")[0]))
    return ""


def _answer(code: int, more: str = "") -> bytes:
    return f"HTTP/1.1 {code} No\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()


def _pass_on(near: socket.socket, far: socket.socket) -> None:
    """Bytes both ways, until one of the two ends. Raises OSError."""
    near.settimeout(None)
    with selectors.DefaultSelector() as ready:
        ready.register(near, selectors.EVENT_READ, far)
        ready.register(far, selectors.EVENT_READ, near)
        while True:
            for key, _ in ready.select():
                source = key.fileobj
                assert isinstance(source, socket.socket)
                part = source.recv(_CHUNK)
                if not part:
                    return
                key.data.sendall(part)
