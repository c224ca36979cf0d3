"""What surrounds the daemon: each part is a thread that does what its turn of chance says, until the end."""

import os
import random
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from websockets.exceptions import WebSocketException

from tools.faults.groups.pipes import Spout
from tools.faults.handshake import shake
from tools.faults.lab import Lab, WatchedDaemon
from tools.faults.microphones import PulseLab
from tools.faults.pusher import RATE, Pusher
from tools.faults.radio import Radio
from tools.faults.receivers import Hook
from tools.faults.registry import NotHereError

_RULES = """
[[rule]]
name = "{name}"
labels = "loud"
sinks = ["hook", "file", "program"]
[sink.hook]
type = "webhook"
url = "http://127.0.0.1:{port}/"
private = true
timeout_s = 2
[sink.file]
type = "ndjson"
path = "{out}"
[sink.program]
type = "command"
argv = ["{program}"]
timeout_s = 1
"""


class World:
    """seed: of chance. did: how often each thing was done."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.did: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.spout = Spout()
        self.radio = Radio("127.0.0.1", 0)
        self.hook = Hook()
        try:
            self.server: PulseLab | None = PulseLab(lab.folder, "mica", "micb")
            for name in ("mica", "micb"):
                self.server.plug(name)
        except NotHereError:
            self.server = None
        for part in (self.spout, self.radio, self.hook, self.server):
            if part is not None:
                lab.held.callback(part.close)

    @property
    def sources(self) -> list[str]:
        """Of the daemon."""
        devices = ["device:mica#name=mica", "device:micb#name=micb"] if self.server is not None else []
        pushed = [f"push:kitchen,{RATE}", f"push:hall,{RATE}"]
        return [f"pipe:{RATE}#name=pipe", f"url:http://127.0.0.1:{self.radio.port}/live#name=radio", *pushed, *devices]

    def rules(self, name: str = "first") -> str:
        """A rules file for three sinks."""
        program = self.lab.folder / "program"
        if not program.exists():
            program.write_text("#!/bin/sh\n[ $(($(date +%s) % 5)) = 0 ] && exec sleep 60\ncat >/dev/null\n")
            program.chmod(0o700)
        return _RULES.format(name=name, port=self.hook.port, out=self.lab.folder / "alerts.ndjson", program=program)

    def begin(self, patient: WatchedDaemon) -> None:
        """All of it, from now on."""
        rules = patient.log.parent / "rules.toml"
        parts: list[tuple[Callable[[], None], float, float]] = [
            (self._pipe, 5, 25),
            (self._station, 10, 40),
            (lambda: self._push(patient), 0, 2),
            (lambda: self._steady_push(patient), 0, 1),
            (self._sink, 5, 20),
            (lambda: self._rules_change(rules), 15, 45),
            (lambda: self._hostile(patient), 1, 6),
            (lambda: self._freeze(patient), 60, 180),
        ]
        if self.server is not None:
            parts.append((self._device, 8, 30))
        for part, least_s, most_s in parts:
            thread = threading.Thread(target=self._again, args=(part, least_s, most_s), daemon=True)
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """No more of it."""
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _again(self, part: Callable[[], None], least_s: float, most_s: float) -> None:
        while not self._over.wait(self._chance.uniform(least_s, most_s)):
            with suppress(OSError, WebSocketException, TimeoutError):
                part()

    def _pause(self, least_s: float, most_s: float) -> None:
        self._over.wait(self._chance.uniform(least_s, most_s))

    def _note(self, what: str) -> None:
        self.did[what] += 1

    def _pipe(self) -> None:
        self._note("pipe stalls")
        self.spout.flowing.clear()
        self._pause(0.2, 6)
        self.spout.flowing.set()

    def _station(self) -> None:
        mode = self._chance.choice("xxhs")
        self._note(f"radio {mode}")
        self.radio.set(mode)
        self._pause(2, 15)
        self.radio.set("f")

    def _device(self) -> None:
        assert self.server is not None
        self._note("micb unplugged")
        self.server.unplug("micb")
        self._pause(0.2, 8)
        self.server.plug("micb")

    def _steady_push(self, patient: WatchedDaemon) -> None:
        """A client that does all well."""
        pusher = Pusher(patient.url, "hall", sender="hall")
        pusher.start()
        while not self._over.wait(0.5) and not pusher.closed.is_set():
            pass
        pusher.close()

    def _push(self, patient: WatchedDaemon) -> None:
        """A client that does all badly, and leaves."""
        pusher = Pusher(patient.url, "kitchen", sender=self._chance.choice(["me", "", "other"]))
        pusher.start()
        for _ in range(self._chance.randrange(1, 6)):
            self._pause(1, 8)
            what = self._chance.choice(["stop", "skip", "back", "nan", "torn", "burst"])
            self._note(f"push {what}")
            if what == "stop":
                pusher.stop()
                self._pause(0.2, 5)
                pusher.start()
            elif what == "skip":
                pusher.skip(self._chance.randrange(1, 30 * RATE))
            elif what == "back":
                pusher.send(pusher.sound[:320], first=max(0, pusher.next_sample - self._chance.randrange(10 * RATE)))
            elif what == "nan":
                pusher.send(np.full(320, np.nan, np.float32))
            elif what == "torn":
                pusher.raw(os.urandom(self._chance.randrange(30)))
            else:
                for _ in range(20):
                    pusher.send(pusher.sound[:3200])
        pusher.close()

    def _sink(self) -> None:
        self.hook.answer = self._chance.choice([204, 204, 500, 0, 429])
        self._note(f"webhook {self.hook.answer or 'hangs'}")

    def _rules_change(self, file: Path) -> None:
        bad = self._chance.random() < 0.3
        self._note("bad rules" if bad else "rules reloaded")
        file.write_text("[[rule]]\nname = 1\n" if bad else self.rules(f"r{self._chance.randrange(100)}"))

    def _freeze(self, patient: WatchedDaemon) -> None:
        self._note("daemon frozen")
        patient.process.send_signal(signal.SIGSTOP)
        self._pause(0.2, 1.0)
        patient.process.send_signal(signal.SIGCONT)

    def _hostile(self, patient: WatchedDaemon) -> None:
        what = self._chance.choice(["garbage", "never reads", "flood", "half", "burst", "foreign", "huge"])
        self._note(f"client {what}")
        address = ("127.0.0.1", patient.port)
        if what == "burst":
            for _ in range(60):
                socket.create_connection(address, 2).close()
            return
        with socket.create_connection(address, 5) as sock:
            if what == "garbage":
                sock.sendall(self._chance.randbytes(3000))
            elif what == "never reads":
                sock.sendall(shake(patient.port, "/v1?tier=frame&picture=true"))
                self._pause(2, 12)
            elif what == "flood":
                text = b'{"type":"subscribe","tier":"events"}'.ljust(120)
                frame = bytes([0x81, 0x80 | 120]) + bytes(4) + text
                sock.sendall(shake(patient.port, "/v1?tier=events"))
                sock.settimeout(1)
                for _ in range(20):
                    sock.sendall(frame * 50)
                    time.sleep(0.05)
            elif what == "half":
                sock.sendall(b"GET /v1 HTTP/1.1\r\nHost: ")
                self._pause(1, 12)
            elif what == "foreign":
                sock.sendall(shake(patient.port, "/v1", f"Origin: https://s{self._chance.randrange(99)}.example"))
                sock.recv(200)
            else:
                sock.sendall(shake(patient.port) + bytes([0x81, 0xFF]) + struct.pack("!Q", 1 << 60))
                sock.settimeout(2)
                sock.recv(200)
