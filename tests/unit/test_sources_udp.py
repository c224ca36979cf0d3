"""RTP over UDP: what is lost is a gap of exactly its samples, what comes late is put in its place, whoever sends."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamclf.audio.ring import Hole
from streamclf.audio.rtp import Packet, Reorder, encode, parse
from streamclf.audio.sources import open_source, parse_source
from streamclf.audio.sources.udp import UdpSource
from streamclf.errors import SourceError, UsageError
from streamclf.types import F32
from tests.support.listening import Listening

ROOT = Path(__file__).resolve().parents[2]
SIZE = 320
SENDER = 7


def ramp(first: int, count: int = SIZE) -> F32:
    """Samples that say where they belong, as 16 bits hold them."""
    return ((np.arange(first, first + count) % 30_000 - 15_000) / 32768).astype(np.float32)


def test_a_packet_is_read_as_it_was_written() -> None:
    packet = parse(encode(2**32 + 5, ramp(0), sender=SENDER, sequence=70_000), channels=1, form="l16")
    assert (packet.at, packet.sender) == (5, SENDER)
    np.testing.assert_array_equal(packet.samples[:, 0], ramp(0))


def test_what_a_packet_may_carry_besides_is_stepped_over() -> None:
    body = b"\x40\x00\x00\xc0\x00\x00"  # 0.5 and -0.5 in 24 bits
    plain = bytes([0x80, 96, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1])
    more = bytes([0xB1, *plain[1:]]) + b"\0\0\0\2" + b"\xbe\xde\0\1" + b"\1\2\3\4"  # one contributor, an extension
    for data in (plain + body, more + body + b"\0\2"):
        packet = parse(data, channels=2, form="l24")
        assert packet.at == 9
        np.testing.assert_allclose(packet.samples, [[0.5, -0.5]])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no RTP packet"),
        (b"\x40" + bytes(20), "no RTP packet"),
        (b"\x90" + bytes(11), "ends within its header"),
        (b"\x80" + bytes(12), "no whole samples"),
        (b"\xa0" + bytes(11) + b"\xff", "no whole samples"),
    ],
)
def test_what_is_no_packet_is_said(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(data, channels=1, form="l16")


def laid(pieces: list[tuple[int, F32]]) -> tuple[F32, list[tuple[int, int]]]:
    """Samples with what is lost as zeros, and where that is."""
    out: list[F32] = []
    holes = []
    at = 0
    for lost, samples in pieces:
        if lost:
            holes.append((at, at + lost))
        out += [np.zeros(lost, dtype=np.float32), samples]
        at += lost + len(samples)
    return np.concatenate(out), holes


@pytest.mark.parametrize("begin", [0, 2**32 - 3 * SIZE - 17])
@pytest.mark.parametrize(("loss", "shuffle"), [(0.0, 3), (0.01, 0), (0.2, 5)])
def test_gaps_are_exact_whatever_is_lost_late_or_doubled(begin: int, loss: float, shuffle: int) -> None:
    rng = np.random.default_rng(3)
    count = 3000
    order = Reorder(hold=16 * SIZE, far=10**9)
    keys = np.arange(count) + rng.uniform(0, shuffle, count)
    kept = rng.uniform(size=count) >= loss
    kept[0] = kept[-1] = True
    keys[0], keys[-1] = -1, count + shuffle
    pieces = []
    for number in np.argsort(keys, kind="stable"):
        if not kept[number]:
            continue
        packet = Packet((begin + int(number) * SIZE) % 2**32, SENDER, ramp(int(number) * SIZE)[:, np.newaxis])
        pieces += order.push(packet)
        if rng.uniform() < 0.05:
            pieces += order.push(packet)
    pieces += order.give_up()
    samples, holes = laid([(piece.lost, piece.samples[:, 0]) for piece in pieces])
    wanted = np.concatenate([ramp(n * SIZE) if kept[n] else np.zeros(SIZE, np.float32) for n in range(count)])
    np.testing.assert_array_equal(samples, wanted)
    assert sum(end - first for first, end in holes) == SIZE * int((~kept).sum())


def test_what_comes_too_late_is_left_out_and_counted() -> None:
    order = Reorder(hold=2 * SIZE, far=10**9)
    for number in (0, 2, 3, 4, 5):
        order.push(Packet(number * SIZE, SENDER, ramp(number * SIZE)[:, np.newaxis]))
    assert not order.holds
    assert order.push(Packet(SIZE, SENDER, ramp(SIZE)[:, np.newaxis])) == []
    assert order.late == SIZE


def test_another_sender_begins_anew() -> None:
    order = Reorder(hold=2 * SIZE, far=10**9)
    order.push(Packet(0, SENDER, ramp(0)[:, np.newaxis]))
    (piece,) = order.push(Packet(900_000, SENDER + 1, ramp(0)[:, np.newaxis]))
    assert (piece.lost, piece.anew) == (0, True)


@pytest.mark.parametrize("kind", ["udp", "push"])
def test_a_bad_network_leaves_exact_gaps(kind: str) -> None:
    """What `python -m tools.lab.lossy --hours 24` does for a day."""
    command = [
        sys.executable,
        "-m",
        "tools.lab.lossy",
        "--hours",
        "0.06",
        "--loss",
        "0.2",
        "--reorder",
        "6",
        "--kind",
        kind,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # it has a clock of its own
    assert "every gap and every sample is exact" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


# over real sockets


@pytest.fixture
def listening() -> Iterator[Listening]:
    found = Listening(open_source(parse_source("udp:0,16000#hold=300")))
    yield found
    found.source.stop()


def sender(listening: Listening) -> socket.socket:
    assert isinstance(listening.source, UdpSource)
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.connect(("127.0.0.1", listening.source.port))
    return out


def test_packets_become_a_stream_with_exact_gaps(listening: Listening) -> None:
    with sender(listening) as out:
        for number in (0, 1, 3, 2, 4, 7, 8):  # 3 is early, 5 and 6 are lost
            out.send(encode(number * SIZE, ramp(number * SIZE), sender=SENDER, sequence=number))
        listening.until(lambda: listening.ring.written == 9 * SIZE)
    assert list(listening.ring.holes) == [Hole(5 * SIZE, 7 * SIZE, "lost")]
    np.testing.assert_array_equal(listening.ring.view(0, 5 * SIZE), ramp(0, 5 * SIZE))
    np.testing.assert_array_equal(listening.ring.view(7 * SIZE, 9 * SIZE), ramp(7 * SIZE, 2 * SIZE))
    assert listening.source.xruns == 1
    assert listening.states[:2] == ["waiting", "live"]


def test_a_sender_that_falls_silent_is_lost_and_comes_back_in_its_place(listening: Listening) -> None:
    with sender(listening) as out:
        out.send(encode(0, ramp(0), sender=SENDER, sequence=0))
        listening.until(lambda: "lost" in listening.states)
        out.send(encode(100 * SIZE, ramp(0), sender=SENDER, sequence=1))
        listening.until(lambda: listening.ring.written == 101 * SIZE)
    assert list(listening.ring.holes) == [Hole(SIZE, 100 * SIZE, "lost")]
    assert listening.states == ["waiting", "live", "lost", "live"]


def test_two_that_send_at_once_are_not_mixed(listening: Listening) -> None:
    with sender(listening) as out:
        out.send(encode(0, ramp(0), sender=SENDER, sequence=0))
        out.send(encode(5000, ramp(0), sender=SENDER + 1, sequence=0))
        out.send(encode(SIZE, ramp(SIZE), sender=SENDER, sequence=1))
        listening.until(lambda: listening.ring.written == 2 * SIZE)
        assert isinstance(listening.source, UdpSource)
        assert listening.source.refused == 1
        listening.until(lambda: any("two send at once" in detail for _, detail in listening.told))
    assert list(listening.ring.holes) == []


def test_only_who_is_named_is_heard() -> None:
    listening = Listening(open_source(parse_source("udp:0,16000#from=192.0.2.0/24")))
    try:
        with sender(listening) as out:
            out.send(encode(0, ramp(0), sender=SENDER, sequence=0))
            listening.until(lambda: any("#from does not name" in detail for _, detail in listening.told))
        assert listening.ring.written == 0
    finally:
        listening.source.stop()


def test_ffmpeg_is_understood(listening: Listening) -> None:
    av = pytest.importorskip("av", reason="PyAV is absent (pip install streamclf[url])")
    assert isinstance(listening.source, UdpSource)
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.float32)
    with av.open(f"rtp://127.0.0.1:{listening.source.port}?pkt_size=652", "w", format="rtp") as out:
        stream = out.add_stream("pcm_s16be", rate=16_000, layout="mono")
        for at in range(0, len(tone), SIZE):
            whole = np.rint(tone[np.newaxis, at : at + SIZE] * 32768).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, at
            out.mux(stream.encode(frame))
            time.sleep(0.002)  # a socket holds so much and no more
        out.mux(stream.encode(None))
    listening.until(lambda: listening.ring.written == len(tone))
    np.testing.assert_allclose(listening.samples, tone, atol=1 / 32768)
    assert list(listening.ring.holes) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("udp:5004", "is not udp:"),
        ("udp:5004,16000,1,mp3", "use l16 or l24"),
        ("udp:example.org:5004,16000", "an address of this machine"),
        ("udp:70000,16000", "from 0 to 65535"),
        ("udp:5004,16000#from=nobody", "no address or network"),
    ],
)
def test_what_is_written_wrongly_is_said(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_source(text)


def test_beyond_this_machine_it_has_to_be_told_who_sends() -> None:
    with pytest.raises(SourceError, match="say who sends"):
        open_source(parse_source("udp:0.0.0.0:0,16000")).open()
    source = open_source(parse_source("udp:0.0.0.0:0,16000#from=10.0.0.0/8"))
    source.open()
    source.stop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match="cannot be listened on"):
            open_source(parse_source(f"udp:{taken.getsockname()[1]},16000")).open()
