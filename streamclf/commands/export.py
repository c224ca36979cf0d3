"""`streamclf export`: a transformers checkpoint becomes a pack, with proof that it gives what the checkpoint gives."""

import json
from pathlib import Path
from typing import Any

import click

from streamclf.commands.tables import table
from streamclf.errors import UsageError
from streamclf.text import plain

HELP = "Make a pack of a transformers checkpoint."


def _list_families(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from streamclf.train.extra import need

    for library in ("torch", "transformers"):
        need(library)
    from streamclf.train.families import families

    rows = [(name, family.title, family.output) for family in families() for name in family.classes]
    table(("CLASS", "FAMILY", "OUTPUT"), rows)
    ctx.exit()


@click.command()
@click.argument("source")
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="Folder to write the pack to.")
@click.option("--name", help="The pack's name; by default made from SOURCE.")
@click.option("--labels", type=click.Path(path_type=Path), help="Names of the classes, one a line, in their order.")
@click.option("--window-ms", type=click.FloatRange(min=1), help="Length of the window; by default the family's.")
@click.option("--look-ahead-ms", type=click.FloatRange(min=0), help="One row a window: by default half a window.")
@click.option("--activation", type=click.Choice(["sigmoid", "softmax"]), help="In place of config.problem_type.")
@click.option(
    "--feature", "-f", "settings", multiple=True, metavar="KEY=VALUE", help="Image models: a setting of their log-mel."
)
@click.option(
    "--image",
    multiple=True,
    metavar="KEY=VALUE",
    help="Image models: a setting of a picture of the whole window, in librosa's words (n_mels=128, ref=max, "
    "size=224x224, deltas=true).",
)
@click.option(
    "--int8",
    is_flag=False,
    flag_value="dynamic",
    type=click.Choice(["dynamic", "weights"]),
    help="8-bit variant; without a value, at the end of the line, it is dynamic.",
)
@click.option("--fp16", is_flag=True, help="16-bit variant.")
@click.option("--one-graph", is_flag=True, help="Run an encoder with every window, though its rows could be kept.")
@click.option(
    "--running-statistics",
    is_flag=True,
    help="Keep an encoder's rows though they rest on the whole window; measures the loss.",
)
@click.option(
    "--measure-on",
    type=click.Path(path_type=Path, exists=True),
    help="That loss: a recording, or a folder; else the demo's.",
)
@click.option("--licence", help="In place of what the checkpoint's card states.")
@click.option("--offline", is_flag=True, help="Use nothing but what is on this machine.")
@click.option("--replace", is_flag=True, help="Put it in the place of another pack in that folder.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--families", is_flag=True, is_eager=True, expose_value=False, callback=_list_families,
              help="List the classes that can be exported.")  # fmt: skip
def export(source: str, out: Path, as_json: bool, **options: Any) -> None:
    """Export SOURCE, a checkpoint's folder or a Hugging Face model id, as a pack.

    Torch, ONNX and the engine that runs live are compared on every frame; nothing is written where they differ by 1e-3.
    """
    from streamclf.train.extra import need

    for library in ("torch", "transformers", "onnxscript"):
        need(library)
    from streamclf.model.labellists import read_lines
    from streamclf.train.export.certificate import lines
    from streamclf.train.export.checkpoint import export_checkpoint
    from streamclf.train.export.quantise import Variant
    from streamclf.train.families.family import Wishes

    if options["int8"] and options["fp16"]:
        raise UsageError("--int8 and --fp16 are two variants; export one at a time")
    variants: dict[str | None, Variant] = {"dynamic": "int8", "weights": "int8-weights"}
    variant: Variant | None = "fp16" if options["fp16"] else variants.get(options["int8"])
    report = export_checkpoint(
        source,
        out,
        name=options["name"],
        labels=read_lines(options["labels"]) if options["labels"] else None,
        wishes=Wishes(
            window_ms=options["window_ms"],
            look_ahead_ms=options["look_ahead_ms"],
            activation=options["activation"],
            one_graph=options["one_graph"],
            running_statistics=options["running_statistics"],
            settings=_settings(options["settings"]),
            image=options["image"],
        ),
        variant=variant,
        licence=options["licence"],
        offline=options["offline"],
        measure_on=options["measure_on"],
        replace=options["replace"],
        say=lambda text: click.echo(f"{plain(text)} …", err=True),
    )
    if as_json:
        click.echo(json.dumps(report.for_machines(), indent=2))
        return
    for what, value in lines(report):
        click.echo(f"{what:20} {plain(value)}")
    click.echo(f"exported: run it with `streamclf run --model {plain(str(out))}`")


def _settings(given: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not sign or not key or not value:
            raise UsageError(f"--feature {text} cannot be read; write KEY=VALUE, for example bands=64")
        pairs[key.strip().replace("-", "_")] = value.strip()
    return pairs
