"""`streamclf install-service`: a systemd unit for what the configuration needs, and for nothing else."""

import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import click

from streamclf.commands.needs import Needs, needs_of, program_folders
from streamclf.commands.unit import NAME, Service, is_ours, unit_text
from streamclf.config import Config, load, rules_file, system_file
from streamclf.errors import StreamclfError, UsageError
from streamclf.text import some
from streamclf.types import Provider

HELP = "Write a systemd unit, so that it starts by itself."

# what a service of the system is told of its folders; the unit says the same
_SYSTEM = {"XDG_CONFIG_HOME": "/etc", "XDG_DATA_HOME": "/var/lib", "XDG_CACHE_HOME": "/var/cache"}
_LARGEST = 1 << 20  # bytes of a unit that is looked at


@click.command("install-service")
@click.option("--system", is_flag=True, help="For the machine, hardened; the default of root.")
@click.option("--user", is_flag=True, help="For the user who runs this; the default of everybody else.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file it is to read.")
@click.option("--name", default="streamclf", show_default=True, help="Name of the unit, for a second daemon.")
@click.option("--print", "only_print", is_flag=True, help="Show the unit and write nothing.")
@click.option("--uninstall", is_flag=True, help="Remove the unit again; events and configuration stay.")
@click.option(
    "--force", is_flag=True, help="Also a unit that somebody changed; it is kept beside, as NAME.service.old."
)
@click.option(
    "--root", type=click.Path(path_type=Path), default=Path("/"), help="Write below this folder, for an image."
)
def install_service(
    system: bool,
    user: bool,
    config_file: Path | None,
    name: str,
    only_print: bool,
    uninstall: bool,
    force: bool,
    root: Path,
) -> None:
    """Write a systemd unit that starts the daemon with the machine, or with its user.

    The unit is made for the configuration in force: it opens what that needs, and nothing else. Run this again after
    a change of sources, sinks, tokens or folders. A unit that somebody changed is left alone.
    """
    if system and user:
        raise UsageError("--system and --user are two kinds of units; name one of them")
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a unit; use 1 to 31 small letters, digits, dashes and underscores")
    of_system = system or (not user and os.geteuid() == 0)
    file = _folder(of_system, root) / f"{name}.service"
    if uninstall:
        _remove(file, system=of_system, name=name, force=force)
        return
    service, config = _service(name, config_file, system=of_system)
    if root == Path("/") and (not of_system or os.geteuid() == 0):  # who cannot read the tokens of root leaves them
        _check_access(config)
    text = unit_text(service)
    if only_print:
        click.echo(text, nl=False)
        return
    click.echo(f"{file} {_write(file, text, force=force)}")
    for line in (*_notes(service, config), *_next_steps(service)):
        click.echo(line)


def _folder(system: bool, root: Path) -> Path:
    if system:
        return root / "etc/systemd/system"
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return root / Path(home).relative_to("/") / "systemd/user"


def _service(name: str, config_file: Path | None, *, system: bool) -> tuple[Service, Config]:
    """Raises `ConfigError` where the configuration cannot be used: a service with it would never start."""
    file = config_file.expanduser().absolute() if config_file else None
    # the variables of this shell do not reach the service, so they do not count here either
    config = load(file=file, environ=_SYSTEM if system else {})
    rules = system_file().with_name("rules.toml") if system and not config.rules else rules_file(config)
    needs = needs_of(config, rules=rules, gpu=_cuda_works(config), home=not system)
    if system:
        needs = replace(needs, secrets=_sealed(needs.secrets))
    sealed = system and file is not None and not _everybody_reads(file)
    return Service(name, _program(), file, sealed, system, needs), config


def _check_access(config: Config) -> None:
    """Raises `ConfigError` as a start would: for tokens and certificates that cannot be used, or a lack of them."""
    from streamclf.serve.http import tls
    from streamclf.serve.http.access import ServerSettings, check_bind
    from streamclf.serve.http.tokens import read_tokens

    admin, _, _ = read_tokens(config.server, {})
    tls.load(config.server.certificate, config.server.key)
    check_bind(ServerSettings(host=config.server.host, token=admin))


def _program() -> tuple[str, ...]:
    """The console script beside the interpreter, else the interpreter with the module's name."""
    script = Path(sys.executable).with_name("streamclf")
    return (str(script),) if os.access(script, os.X_OK) else (sys.executable, "-P", "-m", "streamclf")


def _cuda_works(config: Config) -> bool:
    if config.provider is not Provider.AUTO:
        return False
    from streamclf.model.providers import probe_providers  # imports ONNX Runtime

    return not all(reason for name, reason in probe_providers().items() if name != Provider.CPU)


def _sealed(secrets: Mapping[str, Path]) -> dict[str, Path]:
    """Those that the service cannot read by itself. A certificate that everybody can read is renewed in its place."""
    pair = {key: path for key, path in secrets.items() if key in ("certificate", "key")}
    open_ = all(map(_everybody_reads, pair.values()))
    return {key: path for key, path in secrets.items() if not (key in pair and open_)}


def _everybody_reads(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _held(file: Path) -> str | None:
    """What stands there, None for nothing. Raises `StreamclfError` where it is not a regular file of a sane size."""
    try:
        found = file.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
        raise StreamclfError(
            f"{file} is no unit file but {'a link' if file.is_symlink() else 'something else'}, perhaps of "
            "`systemctl mask`; look at it, and remove it if it is not wanted"
        )
    return file.read_text(encoding="utf-8", errors="replace")


def _write(file: Path, text: str, *, force: bool) -> str:
    """What was done, in words. Raises `StreamclfError` where somebody changed it, and where it cannot be written."""
    try:
        held = _held(file)
        if held == text:
            return "is there already, as it would be written"
        if held is not None and not is_ours(held):
            if not force:
                raise StreamclfError(
                    f"{file} was changed, or written by somebody else, and is left as it is; move the changes to a "
                    "drop-in (`systemctl edit`), or give --force to replace it"
                )
            file.rename(file.with_name(f"{file.name}.old"))
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f".{file.name}.new")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as out:
            os.fchmod(out.fileno(), 0o644)
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        fresh.rename(file)
    except OSError as fault:
        raise StreamclfError(f"{file} cannot be written: {fault.strerror}; {_WHO}") from None
    return "is written" if held is None else "is written anew"


_WHO = "a unit of the system is root's to write (sudo), --user writes one of your own"


def _remove(file: Path, *, system: bool, name: str, force: bool) -> None:
    held = _held(file)
    if held is None:
        raise StreamclfError(f"there is no {file}; nothing was removed")
    if not is_ours(held) and not force:
        raise StreamclfError(
            f"{file} was changed, or written by somebody else, and is left as it is; give --force to remove it"
        )
    try:
        file.unlink()
    except OSError as fault:
        raise StreamclfError(f"{file} cannot be removed: {fault.strerror}; {_WHO}") from None
    scope = "" if system else "--user "
    click.echo(f"{file} is removed. A daemon that runs by it still does:")
    click.echo(f"  systemctl {scope}disable --now {name}; systemctl {scope}daemon-reload")
    kept = f"/var/lib/{name} (events, packs) and /etc/streamclf" if system else "events, packs and configuration"
    click.echo(f"{kept} are left as they are")


def _notes(service: Service, config: Config) -> Iterator[str]:
    """What the unit cannot see to by itself."""
    needs = service.needs
    if ours := sorted(name for name in os.environ if re.fullmatch(r"STREAMCLF_[A-Z0-9_]+", name)):
        yield f"note: {some(ours)} of this shell will not reach the service; put it into the configuration"
    if any(text.startswith("pipe") for text in config.source):
        yield "note: a pipe reads standard input, which a service has not; use another source"
    if not service.system:
        return
    if "certificate" in needs.secrets:
        yield f"note: a renewed certificate is taken up by a restart: sudo systemctl restart {service.name}"
    yield from _unreadable(service, needs)
    if needs.store is not None:
        yield f"note: {needs.store} has to belong to the user {service.name}: {_make_user(service.name)}"
    if needs.programs:
        yield f"note: {some(list(needs.programs))} will run within the walls of the service, which may be too narrow"
    shells = [str(path) for path in program_folders() if path.parts[:2] in ((os.sep, "home"), (os.sep, "root"))]
    if shells:
        yield f"note: this program lies in {shells[0]}, which whoever owns that home can change; /opt is a better place"


def _unreadable(service: Service, needs: Needs) -> Iterator[str]:
    files = [path for path in needs.reads if path not in program_folders()]
    if service.config is None:
        files.append(system_file())
    for path in files:
        if path.is_file() and not _everybody_reads(path):
            yield (
                f"note: only some may read {path}; let the service: {_make_user(service.name)} && "
                f"sudo chgrp {service.name} '{path}' && sudo chmod 640 '{path}'"
            )


def _make_user(name: str) -> str:
    return f"sudo useradd --system --no-create-home --shell /usr/sbin/nologin {name}"


def _next_steps(service: Service) -> Iterator[str]:
    scope, sudo = ("", "sudo ") if service.system else ("--user ", "")
    yield "next:"
    yield f"  {sudo}systemctl {scope}daemon-reload"
    yield f"  {sudo}systemctl {scope}enable --now {service.name}"
    if not service.system:
        yield "  loginctl enable-linger            # so that it also runs while you are not logged in"
    yield f"  systemctl {scope}status {service.name}"
    yield f"  journalctl {scope}-u {service.name} -f"
