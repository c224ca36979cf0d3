"""`streamclf teach`: show the daemon a sound of your own, and it is a label like any other."""

import asyncio
import base64
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import click

from streamclf.clock import NS_PER_SECOND
from streamclf.commands.own import token_of, url_of
from streamclf.commands.tables import table
from streamclf.commands.times import local_time, parse_time
from streamclf.config import Config, load, rules_file, store_folder
from streamclf.errors import SourceError, StoreError, StreamclfError, UsageError
from streamclf.model.labels import slug
from streamclf.store import taught
from streamclf.store.database import Store, obstacle, reader
from streamclf.store.shortid import the_event
from streamclf.text import plain

HELP = "Teach a sound of your own by example."

_MOST_BYTES = 46_080  # of a sound in one message
_CUT_S = 2.5
_SOUNDS = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".oga", ".aiff", ".aif"}


class _Teach(click.Group):
    """`teach NAME ...` is a lesson, unless NAME is one of the commands."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            return "NAME", self.commands["a"], args
        return super().resolve_command(ctx, args)


@click.group(cls=_Teach, subcommand_metavar="NAME [OPTIONS] | COMMAND ...")
def teach() -> None:
    """Teach a sound of your own by example.

    NAME --clips DIR, or --event ID, or --at TIME shows what it is, as often as you like: three examples are a good
    beginning. With --not the same says what it is not. It is a label of the pack `taught` within two seconds.

    While the daemon of your configuration runs, it learns; else what is shown goes into its store.
    """


@teach.command("a", hidden=True)
@click.argument("name")
@click.option("--clips", type=click.Path(path_type=Path, exists=True), metavar="DIR",
              help="Recordings of it, a file or all in a folder: each is an example.")  # fmt: skip
@click.option("--event", "events", multiple=True, metavar="ID", help="An event that was it; may be repeated.")
@click.option("--at", "moments", multiple=True, metavar="TIME",
              help="A moment of the last two minutes at which it was heard; may be repeated.")  # fmt: skip
@click.option("--for", "seconds", type=click.FloatRange(0.02, 30), default=0.5, show_default=True,
              help="How long that moment lasts (s).")  # fmt: skip
@click.option("--stream", metavar="NAME", help="On which stream it was heard; needed where there are several.")
@click.option("--not", "is_not", is_flag=True, help="It was taken for it, and is not.")
@click.option("--title", default="", help="What people read; default NAME. Alone it renames.")
@click.option("--pack", default="", help="On whose embeddings a new class rests; default the first that has any.")
@click.option("--url", help="The daemon; default that of your configuration. STREAMCLF_TOKEN holds its token.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def a_lesson(
    name: str,
    clips: Path | None,
    events: Sequence[str],
    moments: Sequence[str],
    seconds: float,
    stream: str | None,
    is_not: bool,
    title: str,
    pack: str,
    url: str | None,
    config_file: Path | None,
) -> None:
    """Show what NAME is (a-z, 0-9 and _), or with --not what it is not."""
    if name != slug(name):
        raise UsageError(
            f"{name!r} is no id of a label; write {slug(name) or 'a-z, 0-9 and _'}, and --title for people"
        )
    config = load(file=config_file)
    if not (clips or events or moments):
        if not title or is_not or pack:
            raise UsageError(
                f"nothing is shown of {name}; give --clips DIR, --event ID or --at TIME, or --title alone to rename it"
            )
        _rename(config, name, title, url)
        return
    said = "not" if is_not else "is"
    common: dict[str, Any] = {"said": said, "name": title, "pack": pack}
    files = list(_files(clips)) if clips is not None else []
    if url is None and not obstacle(store_folder(config)):
        _into_the_store(config, name, common, files, events, moments)
        return
    client = _client(config, url)
    wishes = [partial(_of_file, path) for path in files]
    wishes += [partial(dict, event=event) for event in (_whole(config, one) for one in events)]
    if moments:
        stream = stream or asyncio.run(_only_stream(client))
        wishes += [partial(dict, _moment(text, seconds), stream=stream) for text in moments]

    def ask(wish: Callable[[], dict[str, Any]]) -> None:
        answer = asyncio.run(client.teach(name, **common, **wish()))
        _told(answer.label, answer.examples, answer.against, answer.detail)

    _each([(str(path), partial(ask, wish)) for path, wish in zip(files, wishes, strict=False)])
    for wish in wishes[len(files) :]:
        ask(wish)


def _rename(config: Config, name: str, title: str, url: str | None) -> None:
    folder = store_folder(config)
    if url is not None or obstacle(folder):
        asyncio.run(_client(config, url).teach(name, name=title))
    else:
        with closing(Store.open(folder)) as store:
            made = _tutor(config).renamed(name, title)
            with store.transaction() as tx:
                taught.put_class(tx, made)
    click.echo(f"{plain(name)} is called {plain(title)!r} now")


@teach.command("list")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def list_taught(config_file: Path | None) -> None:
    """What was taught."""
    classes, examples = _read(config_file)
    rows = []
    for one in classes:
        said = [example.said for example in examples if example.label == one.label]
        rows.append((one.label, one.name, one.host, str(said.count("is")), str(said.count("not"))))
    if not rows:
        raise StreamclfError("nothing was taught yet; `streamclf teach NAME --clips DIR` does so")
    table(("label", "name", "on", "examples", "against"), rows)


@teach.command("show")
@click.argument("name")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def show(name: str, config_file: Path | None) -> None:
    """The examples of NAME."""
    _, examples = _read(config_file)
    own = [one for one in examples if one.label == name]
    if not own:
        raise UsageError(f"nobody has taught {name!r}; `streamclf teach list` tells what was")
    rows = [
        (one.id, one.said, local_time(one.at_ns), one.stream, one.event, "yes" if one.sound else "no") for one in own
    ]
    table(("example", "said", "heard", "stream", "event", "sound kept"), rows)


@teach.command("forget")
@click.argument("name")
@click.option("--example", default="", metavar="ID", help="One example; default the class with all of them.")
@click.option("--url", help="The daemon; default that of your configuration.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def forget(name: str, example: str, url: str | None, config_file: Path | None) -> None:
    """Take back what was taught as NAME."""
    config = load(file=config_file)
    folder = store_folder(config)
    if url is None and not obstacle(folder):
        tutor = _tutor(config)
        made = tutor.forget(name, example, lately={}, now_ns=time.time_ns())
        if made is None:
            _check_rules(config, name, folder)
        with closing(Store.open(folder)) as store, store.transaction() as tx:
            if made is None:
                taught.forget_class(tx, name)
            else:
                taught.forget_example(tx, example)
                taught.put_class(tx, made)
    else:
        asyncio.run(_client(config, url).forget(name, example))
    click.echo(f"{plain(name)}: {f'example {plain(example)} is' if example else 'all of it is'} forgotten")


def _check_rules(config: Config, name: str, folder: Path) -> None:
    """Raises `UsageError` where a rule names what would be gone, `ConfigError` where the rules cannot be read."""
    from streamclf.alerts.rules.forgotten import check_unnamed
    from streamclf.alerts.rules.rulefile import load_rules
    from streamclf.teach.tutor import GROUP

    path = rules_file(config)
    if not config.rules and not path.is_file():
        return
    with closing(reader(folder)) as connection:
        left = [one.label for one in taught.classes(connection) if one.label != name]
    check_unnamed(name, GROUP, left, load_rules(path).rules, path)


@teach.command("export")
@click.argument("out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option("--as", "form", default="pack", show_default=True,
              type=click.Choice(["pack", "audiofolder", "raven", "audacity", "label-studio"]),
              help="A pack that runs anywhere, or the examples as sound, for `train` and others.")  # fmt: skip
@click.option("--name", default="", help="Of the pack; default the folder's.")
@click.option("--label", "labels", multiple=True, metavar="NAME", help="Only this class; may be repeated.")
@click.option("--host", default="", help="For a pack: what was taught on that one; default the first.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def export(out: Path, form: str, name: str, labels: Sequence[str], host: str, config_file: Path | None) -> None:
    """Write what was taught into DIR, a new folder."""
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty, and nothing is written over; name a new folder")
    classes, examples = _read(config_file)
    if form == "pack":
        _as_pack(load(file=config_file), out, name or out.name, classes, labels, host)
        return
    from streamclf.teach.folder import FORMATS

    own = [one for one in examples if one.sound and (not labels or one.label in labels)]
    if not own:
        raise StreamclfError(
            "no sound of an example is kept: that of --clips always is, that of streams while [clips] enabled"
        )
    out.mkdir(parents=True, exist_ok=True)
    count = FORMATS[form](out, own)
    left = len([one for one in examples if not one.sound and (not labels or one.label in labels)])
    click.echo(f"{count} examples in {out}" + (f"; {left} have no sound and are left out" if left else ""))


def _as_pack(
    config: Config, out: Path, name: str, classes: Sequence[taught.TaughtClass], labels: Sequence[str], host: str
) -> None:
    from streamclf.teach.topack import write_taught
    from streamclf.teach.tutor import heads_of

    tutor = _tutor(config)
    hosts = [one for one in tutor.hosts.values() if not host or one.name == host]
    if not hosts:
        raise UsageError(
            f"{host or 'no pack of the configuration'} gives no embeddings; there is {', '.join(tutor.hosts)}"
        )
    own = [
        one
        for one in classes
        if one.identity == hosts[0].identity and one.host == hosts[0].name and (not labels or one.label in labels)
    ]
    heads, columns = heads_of(own)
    write_taught(out, name, hosts[0], heads, columns)
    click.echo(f"{out}: a pack of {len(columns)} classes; `streamclf models add {out}` takes it among yours")


def _into_the_store(
    config: Config,
    name: str,
    common: dict[str, Any],
    files: Sequence[Path],
    events: Sequence[str],
    moments: Sequence[str],
) -> None:
    """No daemon has the store: learn here."""
    from streamclf.teach import sound
    from streamclf.teach.tutor import Lesson, check_label

    if moments:
        raise UsageError(
            "--at asks the daemon what it has just heard, and none runs; start it, or give --clips or --event"
        )
    folder = store_folder(config)
    with closing(Store.open(folder)) as store:
        tutor = _tutor(config)
        check_label(name, tutor.taken)

        def learn(path: Path) -> None:
            samples, rate = sound.read_sound(path)
            sound.check_heard(samples, rate, str(path))
            lesson = Lesson(
                name, common["name"], common["said"], stream=path.name, pack=common["pack"], samples=samples, rate=rate,
                keep=True,
            )  # fmt: skip
            _learn(store, tutor, lesson)

        _each([(str(path), partial(learn, path)) for path in files])
        for event in events:
            ident = the_event(store.connection, event).id
            _learn(store, tutor, Lesson(name, common["name"], common["said"], event=ident, pack=common["pack"]))


def _each(lessons: Sequence[tuple[str, Callable[[], None]]]) -> None:
    """Take the lesson of each recording; one that cannot be learnt from is told, and the others are taken."""
    refused = 0
    for path, take in lessons:
        try:
            take()
        except SourceError as fault:
            if len(lessons) == 1:
                raise
            told = str(fault) if str(fault).startswith(path) else f"{path}: {fault}"
            click.echo(f"streamclf: {plain(told)}", err=True)
            refused += 1
    if refused:
        raise StreamclfError(f"{refused} of {len(lessons)} recordings were not learnt from")


def _learn(store: Store, tutor: Any, lesson: Any) -> None:
    learnt = tutor.learn(lesson, now_ns=time.time_ns())
    with store.transaction() as tx:
        taught.put_class(tx, learnt.made)
        taught.put_example(tx, learnt.example)
    _told(learnt.made.label, learnt.examples, learnt.against, learnt.detail)


def _tutor(config: Config) -> Any:
    from streamclf.engine.build import load_packs
    from streamclf.engine.embed import hosts_of
    from streamclf.teach.tutor import Tutor

    folder = store_folder(config)
    packs = load_packs(config.model)
    tutor = Tutor(hosts_of(packs), folder, partial(reader, folder))
    tutor.taken = [label.id for pack in packs for label in pack.labels]
    return tutor


def _told(label: str, examples: int, against: int, detail: str) -> None:
    more = f", {against} of what it is not" if against else ""
    click.echo(
        f"{plain(label)}: {examples} example{'s' * (examples != 1)}{more}{f'; {plain(detail)}' if detail else ''}"
    )


def _files(clips: Path) -> Iterator[Path]:
    found = [clips] if clips.is_file() else sorted(p for p in clips.iterdir() if p.suffix.lower() in _SOUNDS)
    if not found:
        raise UsageError(f"{clips} holds no recording; expected files such as .wav, .flac, .ogg or .mp3")
    yield from found


def _of_file(path: Path) -> dict[str, Any]:
    """The loudest part of a recording, small enough for a message."""
    import io

    import soundfile

    from streamclf.teach import sound

    samples, rate = sound.read_sound(path)
    sound.check_heard(samples, rate, str(path))
    samples = sound.loud_part(samples, rate)
    content = sound.encoded(samples, rate)
    if len(content) > _MOST_BYTES:
        file = io.BytesIO()
        mono, mono_rate = sound.decoded(content)
        soundfile.write(file, mono[: int(_CUT_S * 2 * mono_rate)], mono_rate, format="OGG", subtype="OPUS")
        content = file.getvalue()
    if len(content) > _MOST_BYTES:
        raise SourceError(f"{path} is too rich to be sent; cut it to the two seconds that matter")
    return {"sound": base64.b64encode(content).decode()}


def _moment(text: str, seconds: float) -> dict[str, Any]:
    at_ns = parse_time(text, option="--at", now_ns=time.time_ns())
    return {"from_ns": at_ns, "to_ns": at_ns + int(seconds * NS_PER_SECOND)}


def _client(config: Config, url: str | None) -> Any:
    from streamclf.client import Client

    return Client(url or url_of(config), token=None if url else token_of(config))


async def _only_stream(client: Any) -> str:
    names = await client.streams()
    if len(names) != 1:
        raise UsageError(
            f"there are {len(names)} streams ({', '.join(names)}); say on which it was heard with --stream"
        )
    return str(names[0])


def _whole(config: Config, event: str) -> str:
    try:
        with closing(reader(store_folder(config))) as connection:
            return the_event(connection, event).id
    except StoreError:
        return event


def _read(config_file: Path | None) -> tuple[list[taught.TaughtClass], list[taught.Example]]:
    with closing(reader(store_folder(load(file=config_file)))) as connection:
        return taught.classes(connection), taught.examples(connection)
