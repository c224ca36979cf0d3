"""`streamclf devices`: the audio inputs of this machine."""

import dataclasses
import json

import click

HELP = "List audio inputs."


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def devices(as_json: bool) -> None:
    """List audio inputs with rate and channels; `*` marks the default. Use one as --source 'device:NAME'."""
    from streamclf.audio.sources.device import list_devices

    found = list_devices()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(device) for device in found], indent=2))
        return
    if not found:
        click.echo("no audio input found; streamclf run plays its demo recording then")
        return
    for device in found:
        mark = "*" if device.default else " "
        click.echo(f"{mark} {device.name}  ({device.rate} Hz, {device.channels} channels, {device.host_api})")
    click.echo(
        "one that is very quiet (-80 dBFS in a room with people) is lifted by --source 'device:NAME#gain=+20dB'",
        err=True,
    )
