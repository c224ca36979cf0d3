"""Subscribers that do not read, read slowly, flood, or are thousands."""

import asyncio
import itertools
import json
import socket
import statistics
import struct
import threading
import time
from contextlib import ExitStack, suppress

from tools.faults.handshake import shake
from tools.faults.lab import Lab, WatchedDaemon
from tools.faults.registry import FaultGroup

group = FaultGroup("clients", owner="server")


def _metric(patient: WatchedDaemon, name: str) -> float:
    return patient.metric(f"streamclf_{name}")


def _slowest(patient: WatchedDaemon, begun_s: float) -> float:
    """Milliseconds of the 99th of a hundred answers of /healthz since then."""
    took = sorted(look.told_s - look.asked_s for look in patient.health.since(begun_s) if look.code)
    return took[int(len(took) * 0.99)] * 1000 if took else float("inf")


_REPLAY_S = 60  # the least that can be set


def _flat(patient: WatchedDaemon) -> bool:
    """Returns whether it takes no more memory, once what it holds for replays is full."""
    time.sleep(_REPLAY_S + 2.0)
    for _ in range(15):
        before_kib = patient.rss_kib()
        time.sleep(2.0)
        if patient.rss_kib() - before_kib < 128:
            return True
    return False


@group.fault(
    "never-reads",
    "20 that never read: cut off within 6 s, at most 90 KiB each; a good one misses nothing",
    detect_s=6,
    limit_s=240,
)
def never(lab: Lab) -> None:
    """Each with a wish of its own, so that nothing is shared. Measured once what is held for replays is all there."""
    sources = [f"file:{lab.material.sound}#loop=yes&name=s{i}" for i in range(3)]
    patient = lab.start(*sources, config=f"[server]\nreplay_seconds = {_REPLAY_S}\n")
    lab.must(_flat(patient), "memory grows although nobody is there")
    before_kib, before = patient.rss_kib(), _metric(patient, "subscribers_cut_off_total")
    with ExitStack() as held:
        begun_s = time.monotonic()
        for number in range(20):
            sock = socket.socket()
            held.callback(sock.close)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", patient.port))
            sock.sendall(shake(patient.port, f"/v1?tier=frame&picture=true&min_prob=0.0{number + 10}"))
        most, cut = before_kib, 0.0
        while time.monotonic() - begun_s < 20 and cut < 20:
            most = max(most, patient.rss_kib())
            cut = _metric(patient, "subscribers_cut_off_total") - before
            time.sleep(0.2)
        lab.detected_s = time.monotonic() - begun_s
    each = (most - before_kib) / 20
    lab.note(f"{cut:.0f} of 20 cut off after {lab.detected_s:.1f} s, {each:.0f} KiB each")
    lab.must(each <= 90, f"{each:.0f} KiB each, at most 90")
    lab.must(cut >= 20, f"{cut:.0f} of 20 were cut off within 20 s")
    lab.untouched(patient)
    lab.must(not patient.rows.lagged, "a good subscriber missed rows")


@group.fault(
    "reads-slowly", "one that reads 2 KiB a second is told what it misses or cut off; a good one misses nothing"
)
def slowly(lab: Lab) -> None:
    """A telephone far from its mast."""
    sources = [f"file:{lab.material.sound}#loop=yes&name=s{i}" for i in range(8)]
    patient = lab.start(*sources)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", patient.port))
        sock.sendall(shake(patient.port, "/v1?tier=frame"))
        end_s, seen = time.monotonic() + 12.0, b""
        with suppress(OSError):
            while time.monotonic() < end_s:
                seen += sock.recv(400)
                time.sleep(0.2)
    lab.note("it was told what it misses" if b'"lagged"' in seen else f"{len(seen)} bytes in 12 s")
    lab.untouched(patient)
    lab.must(not patient.rows.lagged, "a good subscriber missed rows")


def _flood(lab: Lab, message: bytes, seconds: float = 8.0) -> None:
    patient = lab.start()
    frame = bytes([0x81, 0x80 | 126]) + struct.pack("!H", len(message)) + bytes(4) + message
    stop = threading.Event()

    def send() -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", patient.port)) as sock:
            sock.sendall(shake(patient.port, "/v1?tier=events"))
            threading.Thread(target=_drain, args=(sock,), daemon=True).start()
            while not stop.is_set():
                sock.sendall(frame * 50)

    begun_s = time.monotonic()
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    time.sleep(seconds)
    cut = not sender.is_alive()
    stop.set()
    slow = _slowest(patient, begun_s)
    times = [at for at in patient.rows.of("steady").times_s if at > begun_s]
    late = max((b - a for a, b in itertools.pairwise(times)), default=9.0)
    lab.note(
        f"/healthz p99 {slow:.0f} ms, rows at most {late * 1000:.0f} ms apart, {'cut off' if cut else 'not cut off'}"
    )
    lab.must(slow <= 50, f"/healthz p99 {slow:.0f} ms, at most 50")
    lab.must(late <= 0.2, f"rows came {late * 1000:.0f} ms apart (a message each 100 ms)")
    lab.untouched(patient)


def _drain(sock: socket.socket) -> None:
    with suppress(OSError):
        while sock.recv(65536):
            pass


@group.fault(
    "floods-messages",
    "one that sends subscriptions without end: /healthz p99 <= 50 ms, rows at most 100 ms late",
    alone=True,
)
def floods(lab: Lab) -> None:
    """It delayed /healthz by 4 s."""
    _flood(lab, json.dumps({"type": "subscribe", "tier": "events", "labels": ["loud"] * 12}).encode().ljust(200))


@group.fault("floods-nonsense", "one that sends nonsense without end: the same", alone=True)
def nonsense(lab: Lab) -> None:
    """Each is answered with an error."""
    _flood(lab, b"{" + b"nonsense " * 25 + b"}")


@group.fault("floods-pings", "one that pings without end: the same", alone=True)
def pings(lab: Lab) -> None:
    """Control frames of 125 bytes."""
    patient = lab.start()
    frame = bytes([0x89, 0x80 | 125]) + bytes(4) + bytes(125)
    begun_s = time.monotonic()
    with suppress(OSError), socket.create_connection(("127.0.0.1", patient.port)) as sock:
        sock.settimeout(2)
        sock.sendall(shake(patient.port, "/v1?tier=events"))
        threading.Thread(target=_drain, args=(sock,), daemon=True).start()
        while time.monotonic() < begun_s + 6:
            sock.sendall(frame * 50)
    slow = _slowest(patient, begun_s)
    lab.note(f"/healthz p99 {slow:.0f} ms")
    lab.must(slow <= 50, f"/healthz p99 {slow:.0f} ms, at most 50")
    lab.untouched(patient)


@group.fault(
    "floods-connections",
    "connects and leaves as fast as it can for 6 s: rows go on, health answers, little log",
    alone=True,
)
def connects(lab: Lab) -> None:
    """With a handshake each."""
    patient = lab.start()
    begun_s, made = time.monotonic(), 0
    while time.monotonic() < begun_s + 6:
        with suppress(OSError), socket.create_connection(("127.0.0.1", patient.port), 2) as sock:
            sock.sendall(shake(patient.port, "/v1"))
            made += 1
    slow = _slowest(patient, begun_s)
    size = patient.log.with_suffix(".err").stat().st_size
    lab.note(f"{made} connections, /healthz p99 {slow:.0f} ms, {size // 1024} KiB of log")
    lab.must(size < 500_000, f"{size // 1024} KiB of log")
    lab.must(slow < 1000, f"/healthz p99 {slow:.0f} ms")
    lab.untouched(patient)


@group.fault(
    "thousands-of-connections",
    "1,500 subscribers at once: held or refused with 503; rows go on, memory stays small",
    alone=True,
)
def thousands(lab: Lab) -> None:
    """All read."""
    patient = lab.start()
    before = patient.rss_kib()

    async def come() -> int:
        held = []
        for _ in range(1500):
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", patient.port)
                writer.write(shake(patient.port, "/v1?tier=events"))
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                held.append((writer, b" 101 " in head))
        await asyncio.sleep(2)
        for writer, _ in held:
            writer.transport.abort()
        return sum(good for _, good in held)

    served = asyncio.run(come())
    grown = patient.rss_kib() - before
    lab.note(f"{served} of 1500 served, {grown / max(1, served):.0f} KiB each")
    lab.must(served >= 50, f"only {served} were served")
    lab.recover(patient, lambda: None, "steady")
    lab.untouched(patient)


@group.fault(
    "half-open-handshakes", "300 connections that say half a request: gone within 30 s, rows and new clients go on"
)
def half(lab: Lab) -> None:
    """A slow attacker."""
    patient = lab.start()
    with ExitStack() as held:
        socks = []
        for _ in range(300):
            sock = held.enter_context(socket.create_connection(("127.0.0.1", patient.port), 5))
            sock.sendall(b"GET /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
            sock.settimeout(0.01)
            socks.append(sock)
        begun_s = time.monotonic()

        def gone() -> bool:
            return sum(_closed(sock) for sock in socks) == len(socks)

        took = lab.happens(gone, 30.0)
    lab.must(took is not None, "they are held for more than 30 s")
    lab.note(f"all gone after {took or 30:.0f} s, /healthz median {_median(patient, begun_s):.0f} ms")
    lab.untouched(patient)
    lab.healthy(patient)


def _closed(sock: socket.socket) -> bool:
    try:
        return not sock.recv(4096)
    except TimeoutError:
        return False
    except OSError:
        return True


def _median(patient: WatchedDaemon, begun_s: float) -> float:
    return statistics.median([(x.told_s - x.asked_s) * 1000 for x in patient.health.since(begun_s) if x.code] or [9999])


@group.fault("left-while-stopping", "clients that never read while it stops: ended within 10 s, exit 0", cheap=True)
def stopping(lab: Lab) -> None:
    """close() waits for them in many a server."""
    patient = lab.start()
    with ExitStack() as held:
        for _ in range(20):
            sock = held.enter_context(socket.create_connection(("127.0.0.1", patient.port)))
            sock.sendall(shake(patient.port, "/v1?tier=frame"))
        time.sleep(1.0)
        patient.unwatch()
        begun_s = time.monotonic()
        code = patient.stop()
        lab.note(f"exit {code} after {time.monotonic() - begun_s:.1f} s")
        lab.must(code == 0, f"exit {code}")
