"""Bytes that are no good HTTP and no good websocket, and people who are not let in."""

import os
import random
import socket
import struct
import time
from contextlib import ExitStack, suppress

from tools.faults.handshake import shake
from tools.faults.lab import Lab, WatchedDaemon
from tools.faults.registry import FaultGroup

group = FaultGroup("wire", owner="server")


def say(patient: WatchedDaemon, data: bytes, *, then: bytes = b"", wait_s: float = 2.0) -> bytes:
    """The answer to these bytes, b"" for none. then: is sent when an answer begins."""
    got = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", patient.port), wait_s) as sock:
        sock.sendall(data)
        sock.settimeout(wait_s)
        if then:
            got = sock.recv(65536)
            sock.sendall(then)
        while part := sock.recv(65536):
            got += part
            if len(got) > 200_000:
                break
    return got


def well(lab: Lab, patient: WatchedDaemon) -> None:
    """Nothing has suffered, and the log is little."""
    lab.untouched(patient)
    lab.healthy(patient)
    size = patient.log.with_suffix(".err").stat().st_size
    lab.must(size < 200_000, f"{size // 1024} KiB of log")


def status_of(answer: bytes) -> int:
    """Of an answer; 0 for none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


@group.fault("garbage-bytes", "300 connections of random bytes: refused or closed, nothing else suffers")
def garbage(lab: Lab) -> None:
    """Of up to 4 KiB."""
    patient = lab.start()
    chance = random.Random(1)
    for _ in range(300):
        with suppress(OSError), socket.create_connection(("127.0.0.1", patient.port), 2) as sock:
            sock.sendall(chance.randbytes(chance.randrange(1, 4096)))
    well(lab, patient)


@group.fault("tls-hello", "clients that speak TLS to the plain port: closed, little log")
def tls(lab: Lab) -> None:
    """https:// in a browser."""
    patient = lab.start()
    for _ in range(50):
        say(patient, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500), wait_s=0.2)
    well(lab, patient)


@group.fault("huge-request", "a header of 20 MB: closed before it is read, memory stays")
def header(lab: Lab) -> None:
    """In one line."""
    patient = lab.start()
    before = patient.rss_kib()
    say(patient, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: " + b"a" * 20_000_000)
    lab.must(patient.rss_kib() - before < 30_000, f"memory grew by {(patient.rss_kib() - before) // 1024} MiB")
    well(lab, patient)


@group.fault("huge-frames", "frames that announce 2^62 bytes and one of 5 MB: closed with 1009, memory stays")
def frames(lab: Lab) -> None:
    """The announced length alone must ask for nothing."""
    patient = lab.start()
    before = patient.rss_kib()
    for _ in range(20):
        say(patient, shake(patient.port), then=bytes([0x81, 0xFF]) + struct.pack("!Q", 1 << 62) + bytes(4), wait_s=0.5)
    say(patient, shake(patient.port), then=bytes([0x82, 0xFF]) + struct.pack("!Q", 5_000_000) + bytes(5_000_004))
    lab.must(patient.rss_kib() - before < 30_000, f"memory grew by {(patient.rss_kib() - before) // 1024} MiB")
    well(lab, patient)


@group.fault("endless-fragments", "a message in fragments without end: closed, memory stays")
def fragments(lab: Lab) -> None:
    """20,000 fragments of 100 bytes."""
    patient = lab.start()
    before = patient.rss_kib()
    first, more = bytes([0x01, 0x80 | 100]) + bytes(104), bytes([0x00, 0x80 | 100]) + bytes(104)
    say(patient, shake(patient.port, "/v1?tier=events"), then=first + more * 20_000)
    lab.must(patient.rss_kib() - before < 30_000, f"memory grew by {(patient.rss_kib() - before) // 1024} MiB")
    well(lab, patient)


@group.fault("endless-empty-fragments", "a message of empty fragments without end: cut off within 30 s, memory stays")
def empty_fragments(lab: Lab) -> None:
    """100 a second, which is less than a client may send; each is kept until the message is whole."""
    patient = lab.start()
    more = bytes([0x00, 0x80]) + bytes(4)
    with socket.create_connection(("127.0.0.1", patient.port), 5) as sock:
        sock.sendall(shake(patient.port, "/v1?tier=events"))
        sock.sendall(bytes([0x01, 0x80]) + bytes(4))
        sock.settimeout(0.1)
        begun_s, closed = time.monotonic(), False
        while time.monotonic() < begun_s + 30 and not closed:
            try:
                sock.sendall(more * 10)
                closed = not sock.recv(65536)
            except TimeoutError:
                pass
            except OSError:
                closed = True
        lab.note(f"cut off after {time.monotonic() - begun_s:.0f} s" if closed else "not cut off")
    lab.must(closed, "it is held for 30 s and more")
    well(lab, patient)


@group.fault("slow-headers", "100 that send a letter of a header a second: each gone within 8 s, others are served")
def slow_headers(lab: Lab) -> None:
    """Slowloris: never silent, never done."""
    patient = lab.start()
    with ExitStack() as held:
        socks = [held.enter_context(socket.create_connection(("127.0.0.1", patient.port), 5)) for _ in range(100)]
        for sock in socks:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
        begun_s, left = time.monotonic(), list(socks)
        while left and time.monotonic() < begun_s + 20:
            time.sleep(1.0)
            left = [sock for sock in left if _takes(sock)]
        took_s = time.monotonic() - begun_s
    lab.note(f"{len(left)} left after {took_s:.0f} s")
    lab.must(not left and took_s < 8, f"{len(left)} are left after {took_s:.0f} s")
    well(lab, patient)


def _takes(sock: socket.socket) -> bool:
    try:
        sock.send(b"a")
        sock.setblocking(False)
        return bool(sock.recv(4096))
    except BlockingIOError:
        return True
    except OSError:
        return False


@group.fault(
    "broken-frames", "reserved bits, unmasked frames, bad UTF-8, close codes that are none: each closed with its code"
)
def broken(lab: Lab) -> None:
    """What RFC 6455 forbids."""
    patient = lab.start()
    bad = [
        bytes([0xF1, 0x80, 0, 0, 0, 0]), bytes([0x81, 0x01, 65]), bytes([0x83, 0x80, 0, 0, 0, 0]),
        bytes([0x81, 0x82, 0, 0, 0, 0, 0xC3, 0x28]), bytes([0x88, 0x82, 0, 0, 0, 0, 0x00, 0x01]),
        bytes([0x89, 0xFE, 0x00, 0x80]) + bytes(132), bytes([0x80, 0x80, 0, 0, 0, 0]),
    ]  # fmt: skip
    for frame in bad:
        answer = say(patient, shake(patient.port, "/v1?tier=events"), then=frame, wait_s=3.0)
        lab.must(b"\x88" in answer.partition(b"\r\n\r\n")[2], f"{frame[:2].hex()} was not answered with a close")
    well(lab, patient)


@group.fault("deep-json", "messages of 60,000 brackets and of huge numbers: refused with a sentence")
def deep(lab: Lab) -> None:
    """A recursion in a parser."""
    patient = lab.start()
    for text in (b"[" * 60_000, b'{"type":' * 7_000, b'{"type":"subscribe","top_k":' + b"9" * 50_000 + b"}"):
        frame = bytes([0x81, 0xFF]) + struct.pack("!Q", len(text)) + bytes(4) + text
        answer = say(patient, shake(patient.port, "/v1?tier=events"), then=frame, wait_s=1.5)
        lab.must(b'"error"' in answer, f"{text[:10]!r} was not answered with an error")
    well(lab, patient)


@group.fault(
    "bad-tokens-in-series",
    "200 wrong tokens under 200 forwarded addresses: slowed down after a hundred; the right one still works",
)
def tokens(lab: Lab) -> None:
    """As somebody guesses."""
    patient = lab.start(token="right-token-0123456789")
    codes = []
    for number in range(200):
        request = (
            f"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer guess{number}\r\n"
            f"X-Forwarded-For: 198.51.100.{number % 250}\r\n\r\n"
        )
        codes.append(status_of(say(patient, request.encode())))
    late = codes.count(429)
    lab.note(f"{codes.count(401)} times 401, {late} times 429")
    lab.must(late >= 90, f"only {late} of 200 guesses were slowed down")
    lab.must(200 not in codes, "a wrong token was taken")
    time.sleep(7.0)
    lab.untouched(patient)


@group.fault(
    "foreign-origin-and-host", "a websocket of a foreign page and a rebound host name: 403; ours: 101", cheap=True
)
def origins(lab: Lab) -> None:
    """A page of another site asks."""
    patient = lab.start()
    cases = [
        (shake(patient.port, "/v1", "Origin: https://evil.example"), 403),
        (shake(patient.port, "/v1", "Origin: null"), 403),
        (shake(patient.port, "/v1", f"Origin: http://127.0.0.1:{patient.port}", "Origin: https://evil.example"), 403),
        (shake(patient.port, "/v1", host="evil.example"), 403),
        (shake(patient.port, "/v1", host=f"127.0.0.1:{patient.port}.evil.example"), 403),
        (shake(patient.port, "/v1?tier=events", f"Origin: http://127.0.0.1:{patient.port}"), 101),
    ]
    for request, wanted in cases:
        got = status_of(say(patient, request, wait_s=0.5))
        lab.must(got == wanted, f"{request.split(b'Sec-')[0][-60:]!r} got {got} instead of {wanted}")
    well(lab, patient)


@group.fault(
    "smuggled-requests",
    "two lengths, chunked and length, a second Host, bare newlines: one refusal each, no second answer",
)
def smuggling(lab: Lab) -> None:
    """What a proxy and a server may read in two ways."""
    patient = lab.start()
    head = f"Host: 127.0.0.1:{patient.port}\r\n"
    inner = f"GET /v1/status HTTP/1.1\r\n{head}\r\n"
    cases = [
        f"GET / HTTP/1.1\r\n{head}Content-Length: 0\r\nContent-Length: {len(inner)}\r\n\r\n{inner}",
        f"POST / HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{inner}",
        f"GET / HTTP/1.1\r\n{head}Host: evil.example\r\n\r\n",
        f"GET /healthz HTTP/1.1\n{head}\n\n",
        f"GET / HTTP/1.1\r\n{head} folded: x\r\n\r\n{inner}",
        f"GET http://evil.example/ HTTP/1.1\r\n{head}\r\n",
        f"GET /healthz HTTP/1.0\r\n\r\n{inner}",
        f"TRACE / HTTP/1.1\r\n{head}\r\n",
    ]
    for request in cases:
        answer = say(patient, request.encode(), wait_s=1.0)
        lab.must(answer.count(b"HTTP/1.1 ") <= 1, f"two answers to {request[:40]!r}")
        lab.must(b'"captured_s"' not in answer, f"the inner request was answered: {request[:40]!r}")
    well(lab, patient)


@group.fault("paths-that-climb", "/../, %2e%2e, NUL, long and odd paths: 4xx, nothing of the disk")
def paths(lab: Lab) -> None:
    """A fixed table: no path is joined."""
    patient = lab.start()
    odd = ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/assets/..%2f..%2fetc/passwd", "//etc/passwd", "/\0",
           "/v1/clip?id=../../../etc/passwd", "/v1/events?since=" + "9" * 5000, "/" + "a" * 7000, "/v1/why?at=%00",
           "/v1/picture?stream=%27&from=-1", "/v1/scores?stream=..&pack=.."]  # fmt: skip
    for path in odd:
        answer = say(patient, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode("latin-1"), wait_s=1.0)
        lab.must(b"root:" not in answer, f"{path[:40]!r} read the disk")
        lab.must(status_of(answer) not in (200, 500), f"{path[:40]!r} got {status_of(answer)}")
    well(lab, patient)


@group.fault("listening-beyond-loopback", "a bind to 0.0.0.0 without a token: refused with one sentence, exit 1 or 78")
def bind(lab: Lab) -> None:
    """Nobody meant to show it to the network."""
    patient = lab.start(args=["--host", "0.0.0.0"], ready=False, watch=False)
    lab.refused(patient, 1, 78)
