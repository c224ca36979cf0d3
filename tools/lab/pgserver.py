"""A real PostgreSQL in a folder of its own: started, stopped, killed, frozen. It is Debian's (package postgresql)."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tools.lab.daemon import free_port

_PLACES = Path("/usr/lib/postgresql")
_POOLER = "/usr/sbin/pgbouncer"  # not on the path of who is not root
_WELL_S = 30.0


def programs() -> Path | None:
    """The folder of the newest server's programs, None where there is none."""
    found = [path.parent for path in _PLACES.glob("*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def pooler_program() -> str | None:
    """Where PgBouncer is, None where it is not installed."""
    return shutil.which("pgbouncer") or shutil.which(_POOLER)


class PostgresServer:
    """In a temporary folder, which `close` removes. PostgreSQL refuses to run as root, so for root it runs as `nobody`.

    Role and database are `streamclf`. password: that the role has to give, over TCP on 127.0.0.1 alone.
    Raises `FileNotFoundError` where PostgreSQL is not installed.
    """

    def __init__(self, *, password: str = "", settings: Sequence[str] = ()) -> None:
        found = programs()
        if found is None:
            raise FileNotFoundError("PostgreSQL is not installed (package postgresql)")
        self._programs = found
        self.port = free_port()
        self.url = f"postgresql://streamclf{':' + password if password else ''}@127.0.0.1:{self.port}/streamclf"
        self._settings = list(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="streamclf-postgres-"))
        secret = self._folder / "password"
        secret.write_text(f"{password or 'none'}\n")
        if os.geteuid() == 0:
            shutil.chown(self._folder, "nobody")
            secret.chmod(0o644)
        self._run(
            "initdb", "-D", str(self._folder / "data"), "-U", "streamclf", "--no-sync", "-E", "UTF8", "--locale=C",
            "--pwfile", str(secret), "-A", "scram-sha-256" if password else "trust",
        )  # fmt: skip

    def secure(self, certificate: Path, key: Path) -> None:
        """Speak TLS with these from the next start on."""
        for name, path in (("server.crt", certificate), ("server.key", key)):
            own = self._folder / "data" / name
            shutil.copy(path, own)
            own.chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(own, "nobody")
        self._settings.append("ssl=on")

    def start(self, *, database: bool = False) -> None:
        """It lets in on return. database: make the one of this name first."""
        deadline = time.monotonic() + _WELL_S
        while not self._up():
            if self._process is None or self._process.poll() is not None:  # what was killed may still be going
                self._process = self._launch()
            if time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL did not start:\n{self.said}")
            time.sleep(0.1)
        if database:
            import psycopg

            with psycopg.connect(f"{self.url.rpartition('/')[0]}/postgres", autocommit=True) as connection:
                connection.execute("CREATE DATABASE streamclf")

    @property
    def said(self) -> str:
        """Its log."""
        return (self._folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """End as a restart does: connections are cut, all is written."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_WELL_S)
        self._process = None

    def kill(self) -> None:
        """End as a power cut does, with every process that serves a connection."""
        if self._process is not None and self._process.poll() is None:
            children = self._children(self._process.pid)
            self._process.kill()
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Neither it nor any of its processes does anything; connections stay open."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        """Kill it and remove its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        for process in (self._process.pid, *self._children(self._process.pid)):
            os.kill(process, number)

    def _up(self) -> bool:
        if self._process is None:
            return False
        command = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def _launch(self) -> "subprocess.Popen[bytes]":
        command = [
            str(self._programs / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port),
            "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
            *(word for setting in self._settings for word in ("-c", setting)),
        ]  # fmt: skip
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/", preexec_fn=_leave_root
            )

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), *words]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, preexec_fn=_leave_root)
        if done.returncode:
            raise AssertionError(f"{program} failed:\n{done.stdout}{done.stderr}")

    @staticmethod
    def _children(parent: int) -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended since
                if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                    found.append(int(path.parent.name))
        return found


class Pooler:
    """A PgBouncer before that server, as its package comes: each transaction may get another session of two.

    url: of the role, by way of it.
    """

    def __init__(self, server: PostgresServer, *, mode: str = "transaction") -> None:
        program = pooler_program()
        assert program is not None, "there is no PgBouncer here (package pgbouncer)"
        self._folder = Path(tempfile.mkdtemp(prefix="streamclf-pooler-"))
        port = free_port()
        where = urlsplit(server.url)
        self.url = where._replace(netloc=f"{where.username}:{where.password or 'none'}@127.0.0.1:{port}").geturl()
        users = self._folder / "users"
        users.write_text(f'"{where.username}" "{where.password or "none"}"\n')
        config = self._folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\nstreamclf = host=127.0.0.1 port={server.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = plain\n"
            f"auth_file = {users}\npool_mode = {mode}\ndefault_pool_size = 2\nserver_round_robin = 1\n"
        )
        if os.geteuid() == 0:
            for path in (self._folder, users, config):
                shutil.chown(path, "nobody")
        self._process = subprocess.Popen(
            [program, str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            preexec_fn=_leave_root,
        )
        deadline = time.monotonic() + _WELL_S
        while not _listens(port):
            assert time.monotonic() < deadline, "PgBouncer did not start"
            time.sleep(0.05)

    def close(self) -> None:
        """End it, and remove its folder."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _listens(port: int) -> bool:
    with socket.socket() as own:
        return own.connect_ex(("127.0.0.1", port)) == 0


def _leave_root() -> None:
    """In the child that is to be the program."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
