"""`streamclf models triton`: a pack for a server that runs models."""

from pathlib import Path

import click

from streamclf.text import plain


@click.command("triton")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
def write_for_triton(name: str, folder: Path) -> None:
    """Write the pack NAME (or the pack in a folder) into FOLDER, a model repository of NVIDIA Triton.

    Each graph of it is a model there, in a version that is a number made of the pack's digest; versions that are there
    already stay. Start Triton on FOLDER, and name it in [kserve] of the configuration.
    """
    from streamclf.model.library import find_pack
    from streamclf.model.repository import write_repository

    for place in write_repository(find_pack(name), folder.expanduser()):
        click.echo(f"{plain(place.parent.name)} is written in version {place.name} ({plain(str(place))})")
