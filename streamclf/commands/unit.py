"""The systemd unit of the daemon: a text made from what the configuration needs, closed to everything else.

Theory of operation. A unit of the system runs under a user of its own that systemd makes (`DynamicUser`; one of that
name that the machine has already is taken). It sees no home, no device but the sound cards, no folder that it may write
but its own under /var/lib, and no other machine where nothing in the configuration speaks to one. Files that lie in a
home are shown to it read-only, one by one. Tokens reach it as credentials: systemd reads them as root and shows them
to this service alone. A unit of a user runs with that user's rights: what needs rights to be taken away is left out.

The first lines say who wrote it, with a hash of the rest, so that a unit which somebody changed is told from ours.
"""

import hashlib
import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamclf.commands.needs import Needs
from streamclf.errors import ConfigError
from streamclf.text import one_line

NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")  # of a unit, and of the user that it runs as
_HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"))  # by ProtectHome
_PRIVATE = (Path("/tmp"), Path("/var/tmp"))  # by PrivateTmp
_MARK = "# sha256 of what follows: "
_PLAIN = frozenset(string.ascii_letters + string.digits + "/._-+=@%$")


@dataclass(frozen=True, slots=True)
class Service:
    """What a unit is for. name: of the unit. program: the first words of the command, an absolute path in front.

    config: the configuration file that it is told to read, None for those that every run reads. sealed: that file is
    one which others cannot read, so that a service of the system gets it as a credential. system: else of a user.
    """

    name: str
    program: tuple[str, ...]
    config: Path | None
    sealed: bool
    system: bool
    needs: Needs


def unit_text(service: Service) -> str:
    """The whole unit. Raises `ConfigError` where a path holds what no unit can."""
    sections = (
        ("Unit", _unit(service)),
        ("Service", _service(service)),
        ("Install", [f"WantedBy={'multi-user' if service.system else 'default'}.target"]),
    )
    return _signed("\n\n".join("\n".join([f"[{name}]", *lines]) for name, lines in sections) + "\n", service)


def is_ours(text: str) -> bool:
    """Whether `text` is a unit as `unit_text` made it once, not changed since."""
    _, mark, rest = text.partition(_MARK)
    told, _, body = rest.partition("\n")
    return bool(mark) and told == _hash(body)


def escaped(text: str, *, variables: bool = False) -> str:
    """`text` as one word of a unit's list. variables: in a command, where a `$` would name one."""
    if not text.isprintable():
        raise ConfigError(f"{text!r} holds characters that no unit file can; rename it")
    text = text.replace("%", "%%")
    text = text.replace("$", "$$") if variables else text
    if text and set(text) <= _PLAIN:
        return text
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))


def _signed(body: str, service: Service) -> str:
    user = "" if service.system else "--user "
    return (
        "# Written by `streamclf install-service`, which leaves it alone once it was changed. Put your own settings\n"
        f"# into a drop-in: systemctl {user}edit {service.name}\n"
        f"{_MARK}{_hash(body)}\n{body}"
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _unit(service: Service) -> Iterator[str]:
    yield "Description=streamclf, a daemon that listens"
    yield f"After={'network.target sound.target' if service.system else 'pipewire.service pulseaudio.service'}"
    yield "# an ear that is given up is deaf: it is started again for as long as it takes"
    yield "StartLimitIntervalSec=0"


def _service(service: Service) -> Iterator[str]:
    yield "Type=notify"
    yield "NotifyAccess=main"
    yield "WatchdogSec=30"
    yield f"ExecStart={_command(service)}"
    yield "ExecReload=/bin/kill -HUP $MAINPID"
    yield "Restart=on-failure"
    yield "RestartSec=5"
    yield "# the command line or the configuration cannot be used: another start would not mend that"
    yield "RestartPreventExitStatus=2 78"
    yield "# for now: the port is taken, or another daemon has the events"
    yield "RestartForceExitStatus=75"
    yield "TimeoutStartSec=180"
    yield "TimeoutStopSec=15"
    yield "LimitNOFILE=16384"
    yield "# the memory of this process holds the sound of a room"
    yield "LimitCORE=0"
    yield "UMask=0077"
    yield from _own_user(service) if service.system else ()
    yield from _closed(service)
    yield from _walls(service) if service.system else ()


def _command(service: Service) -> str:
    program, *words = service.program
    parts = [escaped(program), *(escaped(word, variables=True) for word in (*words, "run"))]
    if "$" in program:
        raise ConfigError(f"the program lies at {program}, and systemd takes no $ there; install it somewhere else")
    if service.config is not None:
        parts += ["--config", "%d/config" if service.sealed else escaped(str(service.config), variables=True)]
    return " ".join(parts)


def _own_user(service: Service) -> Iterator[str]:
    """A user, its folders, and what it may read of other people's."""
    name, needs = service.name, service.needs
    yield ""
    yield f"User={name}"
    yield "DynamicUser=yes"
    if needs.microphone:
        yield "SupplementaryGroups=audio"
    yield f"StateDirectory={name}"
    yield "StateDirectoryMode=0700"
    yield f"CacheDirectory={name}"
    yield "CacheDirectoryMode=0700"
    yield "ConfigurationDirectory=streamclf"
    yield "Environment=XDG_CONFIG_HOME=%E XDG_DATA_HOME=%S XDG_CACHE_HOME=%C"
    if name != "streamclf" and needs.store is None:
        yield f"Environment=STREAMCLF_STORE_PATH=%S/{name}"
    for key, path in needs.secrets.items():
        yield f"LoadCredential={key}:{_percent(path)}"
        yield f"Environment=STREAMCLF_SERVER_{key.upper()}=%d/{key}"
    if service.sealed and service.config is not None:
        yield f"LoadCredential=config:{_percent(service.config)}"


def _percent(path: Path) -> str:
    """For settings whose value is the rest of the line."""
    escaped(str(path))
    return str(path).replace("%", "%%")


def _closed(service: Service) -> Iterator[str]:
    """What needs no rights to be given away."""
    yield ""
    yield "NoNewPrivileges=yes"
    yield "LockPersonality=yes"
    if service.needs.gpu:
        yield "# no MemoryDenyWriteExecute: CUDA compiles while it runs"
    elif service.needs.microphone:
        yield "# no MemoryDenyWriteExecute: how PortAudio calls Python back is written while it runs"
    else:
        yield "MemoryDenyWriteExecute=yes"
    yield "RestrictRealtime=yes"
    yield "RestrictSUIDSGID=yes"
    yield "RestrictNamespaces=yes"
    yield "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"
    yield "SystemCallArchitectures=native"
    yield "SystemCallFilter=@system-service"
    yield "SystemCallFilter=~@privileged @resources"
    yield "SystemCallErrorNumber=EPERM"


def _walls(service: Service) -> Iterator[str]:
    """What only a service of the system can close."""
    needs = service.needs
    yield "CapabilityBoundingSet="
    yield "AmbientCapabilities="
    yield "PrivateUsers=yes"
    yield "PrivateIPC=yes"
    yield "PrivateTmp=yes"
    yield "PrivateMounts=yes"
    yield "RemoveIPC=yes"
    yield "ProtectSystem=strict"
    yield from _homes(service)
    yield "ProtectProc=invisible"
    yield "ProtectClock=yes"
    yield "ProtectHostname=yes"
    yield "ProtectKernelLogs=yes"
    yield "ProtectKernelModules=yes"
    yield "ProtectKernelTunables=yes"
    yield "ProtectControlGroups=yes"
    yield from _devices(needs)
    if needs.network:
        yield f"# other machines are spoken to, so addresses are not limited: {one_line('; '.join(needs.network))}"
    else:
        yield "# Neither a source nor a sink is of another machine. `streamclf install-service` again, once one is."
        yield "IPAddressDeny=any"
        yield "IPAddressAllow=localhost"


def _devices(needs: Needs) -> Iterator[str]:
    if not needs.microphone and not needs.gpu:
        yield "PrivateDevices=yes"
        return
    yield "DevicePolicy=closed"
    if needs.microphone:
        yield "DeviceAllow=char-alsa rw"
    if needs.gpu:
        yield "DeviceAllow=char-nvidia* rw"


def _homes(service: Service) -> Iterator[str]:
    needs = service.needs
    reads = [*needs.reads, *([service.config] if service.config and not service.sealed else [])]
    hidden = _outermost(path for path in reads if _below(path, _HIDDEN))
    private = _outermost(path for path in reads if _below(path, _PRIVATE))
    writes = _outermost([*needs.writes, *([needs.store] if needs.store else [])])
    writes = [path for path in writes if not _below(path, [Path("/var/lib") / service.name])]
    yield f"ProtectHome={'tmpfs' if hidden or any(_below(path, _HIDDEN) for path in writes) else 'yes'}"
    bound = [path for path in writes if _below(path, (*_HIDDEN, *_PRIVATE))]
    yield from _paths("BindReadOnlyPaths", [*hidden, *private])
    yield from _paths("BindPaths", bound)
    yield from _paths("ReadWritePaths", [path for path in writes if path not in bound])


def _paths(setting: str, paths: Sequence[Path]) -> Iterator[str]:
    """Paths that need not be there: what is missing is told by the daemon, which systemd would not even start."""
    if paths:
        yield f"{setting}={' '.join(escaped(f'-{path}') for path in paths)}"


def _below(path: Path, folders: Sequence[Path]) -> bool:
    return any(path == folder or folder in path.parents for folder in folders)


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Without those that lie in another one of them."""
    found = sorted(set(paths))
    return [path for path in found if not any(other in path.parents for other in found)]
