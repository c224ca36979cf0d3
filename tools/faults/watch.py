"""Two observers of a live daemon: what its health says, and which rows come."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

_EVERY_S = 0.05
_GIVE_UP_S = 3.0
_EDGE_FRAMES = 2  # a frame that a gap touches has no row either, nor may the one that its end lies in


@dataclass(frozen=True, slots=True)
class Look:
    """One answer of GET /healthz. asked_s, told_s: monotonic seconds. code: 0 where there was none."""

    asked_s: float
    told_s: float
    code: int
    body: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether everything is said to be well."""
        return self.code == 200 and self.body.get("status") == "ok"

    @property
    def deaf(self) -> bool:
        """Whether it is said that something is not heard: 503."""
        return self.code == 503

    @property
    def words(self) -> str:
        """What it said, in short."""
        reasons = self.body.get("reasons") or self.body.get("problems") or []
        states = [
            f"{one.get('name')} {one.get('state')}"
            for one in self.body.get("streams", [])
            if one.get("state") not in ("live", "demo", "waiting")
        ]
        told = [str(one.get("what", one)) if isinstance(one, dict) else str(one) for one in reasons] or states
        return f"{self.code or 'no answer'} {self.body.get('status', '')}{': ' if told else ''}{'; '.join(told)[:120]}"


class HealthWatch:
    """Asks for /healthz all the time. token: shown where one is needed."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", token: str = "", every_s: float = _EVERY_S) -> None:
        self.looks: list[Look] = []
        self._every_s = every_s
        self._host, self._port = host, port
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="health")
        self._thread.start()

    def since(self, time_s: float) -> list[Look]:
        """Answers to what was asked from then on."""
        return [look for look in list(self.looks) if look.asked_s >= time_s]

    @property
    def last(self) -> Look | None:
        """The newest answer."""
        return self.looks[-1] if self.looks else None

    def close(self) -> None:
        """Ask no more."""
        self._ending.set()
        self._thread.join(_GIVE_UP_S + 1)

    def _run(self) -> None:
        while not self._ending.wait(self._every_s):
            asked_s = time.monotonic()
            code, body = self._ask()
            self.looks.append(Look(asked_s, time.monotonic(), code, body))

    def _ask(self) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_GIVE_UP_S)
        try:
            connection.request("GET", "/healthz", headers=self._headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text.startswith(b"{") else {}
        except (OSError, http.client.HTTPException, ValueError):
            return 0, {}
        finally:
            connection.close()


@dataclass
class StreamRows:
    """What came of one stream. times_s: monotonic, of each message of rows; holes: frames [first, after the last)."""

    next_frame: int | None = None
    first: tuple[float, int] | None = None
    """(monotonic time, frame) of the first row."""
    times_s: list[float] = field(default_factory=list)
    rows: int = 0
    holes: list[tuple[int, int]] = field(default_factory=list)
    lagged: list[tuple[int, int]] = field(default_factory=list)
    """Holes that the daemon told of, because this observer read too slowly."""
    seq: int = 0
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    """(first frame, after the last, reason)."""
    states: list[tuple[float, str, str]] = field(default_factory=list)

    @property
    def behind_s(self) -> float:
        """How much less time its frames have counted than has gone by; what was glued together is missing there."""
        if self.first is None or self.next_frame is None:
            return 0.0
        return self.times_s[-1] - self.first[0] - (self.next_frame - self.first[1]) / 50

    def unexplained(self) -> list[tuple[int, int]]:
        """Holes of the frames that no gap told of."""
        left = []
        for first, after in self.holes:
            at = first
            for begin, end, _ in sorted(self.gaps):
                if begin - _EDGE_FRAMES <= at:
                    at = max(at, end + _EDGE_FRAMES)
            if at < after:
                left.append((first, after))
        return left


class RowWatch:
    """A subscriber that reads everything and counts the frames; it comes back when it is cut off."""

    def __init__(self, url: str, *, query: str = "tier=batch&min_prob=1&final=final") -> None:
        self.streams: dict[str, StreamRows] = {}
        self.lagged: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.connections = 0
        self._rates: dict[str, int] = {}
        self._url = f"{url}{'&' if '?' in url else '?'}{query}"
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="rows")
        self._thread.start()

    def of(self, stream: str) -> StreamRows:
        """What came of it so far."""
        return self.streams.setdefault(stream, StreamRows())

    def first_after(self, stream: str, time_s: float) -> float | None:
        """When the first rows after `time_s` came."""
        return next((at for at in list(self.of(stream).times_s) if at > time_s), None)

    def close(self) -> None:
        """Follow no more."""
        self._ending.set()
        self._thread.join(5)

    def _run(self) -> None:
        instance, seq = "", 0
        while not self._ending.is_set():
            since = f"&since={seq}&instance={instance}" if instance else ""
            with suppress(OSError, WebSocketException, TimeoutError), self._connect(since) as client:
                self.connections += 1
                for message in self._messages(client):
                    if message["type"] == "hello":
                        if message["instance"] != instance:
                            for rows in self.streams.values():
                                rows.next_frame = None
                        instance = message["instance"]
                        self._rates |= {one["name"]: one["rate"] for one in message["streams"]}
                    seq = max(seq, message.get("seq", 0)) if message["type"] in _NUMBERED else seq
                    self._take(message)
            self._ending.wait(0.2)

    def _connect(self, since: str) -> ClientConnection:
        return connect(f"{self._url}{since}", compression=None, open_timeout=5, proxy=None)

    def _messages(self, client: ClientConnection) -> Iterator[dict[str, Any]]:
        while not self._ending.is_set():
            try:
                yield json.loads(client.recv(timeout=0.5))
            except TimeoutError:
                continue

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "scores":
            rows, first, count = self.of(message["stream"]), message["first_frame"], message["count"]
            if rows.next_frame is not None and first > rows.next_frame:
                late = any(one["to_seq"] >= rows.seq and one["from_seq"] <= message["seq"] for one in self.lagged)
                (rows.lagged if late else rows.holes).append((rows.next_frame, first))
            rows.seq = message["seq"]
            rows.next_frame = max(rows.next_frame or 0, first + count)
            rows.times_s.append(time.monotonic())
            rows.first = rows.first or (rows.times_s[0], first + count)
            rows.rows += count
        elif kind == "gap":
            hop = self._rates.get(message["stream"], 16_000) // 50
            told = (message["first_sample"] // hop, message["last_sample"] // hop + 1, message["reason"])
            self.of(message["stream"]).gaps.append(told)
        elif kind == "status" and message["stream"]:
            self.of(message["stream"]).states.append((time.monotonic(), message["state"], message["detail"]))
        elif kind == "lagged":
            self.lagged.append(message)
        elif kind == "event":
            self.events.append(message)


_NUMBERED = ("scores", "event", "gap", "status")
