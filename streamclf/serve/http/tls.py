"""https and wss by a certificate of the user's own, which is taken up again whenever its files change."""

import logging
import math
import os
import ssl
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from streamclf.errors import ConfigError
from streamclf.protocol.status import DaemonProblem

logger = logging.getLogger("streamclf.serve")

CHECK_EVERY_S = 10.0
_SOON_S, _SOON_SHARE = 14 * 86_400.0, 6  # before its end, or a sixth of its life where that is less
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL
Stamps = tuple[tuple[int, int, int], ...]  # of each file: its number, size and time of change


class Certificate:
    """A chain of certificates, its own first, and its private key, both PEM files; `key` may be the same file.

    Made by `load`. `context` is what the next connection is spoken with.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises `ConfigError`: a file that cannot be read or that others can read, a pair that does not match."""
        self.path = certificate
        self._key = key
        self._seen = self._look()
        self.context = _context(certificate, key)
        self._life = _life_of(self.context, certificate)

    def refresh(self) -> bool:
        """Take up new files, where there are any; whether there were. What cannot be used is told, and the old stays.

        Reads files: not for the event loop.
        """
        try:
            seen = self._look()
            if seen == self._seen:
                return False
            self._seen = seen  # also of files that cannot be used: they are told once, until they change again
            self.context = _context(self.path, self._key)
            self._life = _life_of(self.context, self.path)
        except ConfigError as fault:
            logger.error("the certificate in use stays: %s", fault)
            return False
        logger.info("a new certificate is in use, from %s", self.path)
        return True

    def found(self) -> Iterator[DaemonProblem]:
        """That it has ended, or soon does, from any thread."""
        begin_s, end_s = self._life
        left_s = end_s - time.time()
        if left_s < min(_SOON_S, (end_s - begin_s) / _SOON_SHARE):
            day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(end_s))
            over = left_s <= 0
            what = f"the certificate {self.path} {'has expired' if over else 'expires'} on {day}"
            what += ": browsers and clients refuse it" if over else ""
            yield DaemonProblem(
                what, [], 0, "renew it: a new pair of files is used within seconds", "degraded" if over else "advice"
            )

    def _look(self) -> Stamps:
        return (_look(self.path, "certificate"), _look(self._key, "key"))


def load(certificate: str, key: str) -> Certificate | None:
    """The pair that the configuration names, None where it names none. Raises `ConfigError`."""
    if not certificate and not key:
        return None
    if not certificate:
        raise ConfigError("server.key is set and server.certificate is not; set both, or none")
    path = Path(certificate).expanduser()
    return Certificate(path, Path(key).expanduser() if key else path)


def trusting(certificate: Path) -> ssl.SSLContext:
    """For a client on this machine that speaks to its own server: nothing but that certificate is believed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # it is reached by an address, which no certificate needs to name
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    return context


def _life_of(context: ssl.SSLContext, certificate: Path) -> tuple[float, float]:
    """From when until when it holds (Unix time), as a client sees it; for ever where that cannot be found out."""
    client = trusting(certificate)
    client.verify_flags |= _NO_CHECK_TIME
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = client.wrap_bio(back, there), context.wrap_bio(there, back, server_side=True)
    try:
        for _ in range(3):
            for side in sides:
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
        told = sides[0].getpeercert() or {}
        begin_s, end_s = (float(ssl.cert_time_to_seconds(str(told.get(at, "")))) for at in ("notBefore", "notAfter"))
    except (ssl.SSLError, ValueError):
        return 0.0, math.inf
    return begin_s, end_s


def _look(path: Path, what: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError as fault:
        raise ConfigError(f"server.{what} {path} cannot be read: {fault.strerror}; name a file that can") from None
    if what == "key" and os.name == "posix" and found.st_mode & 0o007:
        mode = stat.S_IMODE(found.st_mode)
        raise ConfigError(
            f"server.key {path} has mode {mode:04o}, so that every user of this machine can use it; "
            f"run: chmod o-rwx {path}"
        )
    return found.st_ino, found.st_size, found.st_mtime_ns


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        for path in (certificate, key):
            path.read_bytes()
        context.load_cert_chain(certificate, key, password=_no_password)
    except _PasswordNeededError:
        raise ConfigError(
            f"server.key {key} is encrypted; give a key without a password, and keep it mode 0600"
        ) from None
    except ssl.SSLError as fault:
        if fault.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"server.key {key} is not the key of server.certificate {certificate}; give a pair"
            ) from None
        raise ConfigError(
            f"server.certificate {certificate} and server.key {key} cannot be used ({fault.reason or 'no PEM'}); "
            "both have to be PEM files, the certificate with its chain"
        ) from None
    except OSError as fault:
        name = "server.key" if fault.filename == str(key) and key != certificate else "server.certificate"
        raise ConfigError(f"{name} {fault.filename} cannot be read: {fault.strerror}; name a file that can") from None
    return context


class _PasswordNeededError(Exception):
    """The key is encrypted; nobody is there to type its password."""


def _no_password() -> str:
    raise _PasswordNeededError
