"""Makes a folder of scenes with known times: sounds mixed into backgrounds, ready for `streamclf eval --data`.

    python tools/scenes.py --sounds DIGITS --label speech --backgrounds AMBIENCE --out DIALOGUE --count 20
        --seconds 30 --turns 4-8 --turn 2-6 --no-overlap

Sounds come from a labelled folder, or, with --label, from every audio file of a folder, which then all bear it.
"""

from pathlib import Path
from typing import Any

import click

from streamclf.audio.sources.recording import readable
from streamclf.train.data.annotations import Recording, read_data
from streamclf.train.data.asheard import read_sound
from streamclf.train.data.scenes import LoneSound, Scenes, SceneSpec, sounds_of, write_scenes


def _range(text: str) -> tuple[float, float]:
    least, _, most = text.partition(":" if ":" in text else "-")
    return float(least), float(most or least)


def _whole(text: str) -> tuple[int, int]:
    least, most = _range(text)
    return int(least), int(most)


@click.command()
@click.option("--sounds", required=True, type=click.Path(path_type=Path), help="Folder of recordings.")
@click.option("--label", help="What all of them are; else the folder's own labels count.")
@click.option("--backgrounds", type=click.Path(path_type=Path), help="Folder of backgrounds.")
@click.option("--only", multiple=True, help="Take only files whose name holds this (sounds).")
@click.option("--without", multiple=True, help="Leave out files whose name holds this (backgrounds).")
@click.option("--out", required=True, type=click.Path(path_type=Path))
@click.option("--count", default=20, show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--rate", default=16_000, show_default=True)
@click.option("--turns", default="1-4", show_default=True, help="Turns in a scene, least and most.")
@click.option("--turn", default="1-1", show_default=True, help="Sounds in a turn.")
@click.option("--snr", default="0:25", show_default=True, help="dB of a sound over the background.")
@click.option("--overlap/--no-overlap", default=True, show_default=True)
@click.option("--bands", default=0.3, show_default=True, help="How often a piece is low-passed.")
@click.option("--seed", default=0, show_default=True)
def main(sounds: Path, label: str | None, backgrounds: Path | None, out: Path, count: int, **given: Any) -> None:
    """Write COUNT scenes to OUT."""
    rate = given["rate"]
    files = [path for path in sorted(sounds.rglob("*")) if path.suffix.lower() in readable()]
    recordings = [Recording(path, path.stem, (label,)) for path in files] if label else read_data(sounds)[0]
    recordings = [r for r in recordings if not given["only"] or any(part in r.path.name for part in given["only"])]
    pieces = [sound for r in recordings for sound in sounds_of(r, rate, read_sound(r.path, rate), label=label)]
    behind = [
        LoneSound(read_sound(path, rate), "", path.stem)
        for path in (sorted(backgrounds.rglob("*")) if backgrounds else ())
        if path.suffix.lower() in readable() and not any(part in path.name for part in given["without"])
    ]
    spec = SceneSpec(
        rate=rate,
        seconds=given["seconds"],
        turns=_whole(given["turns"]),
        turn=_whole(given["turn"]),
        overlap=given["overlap"],
        snr_db=_range(given["snr"]),
        band_share=given["bands"],
    )
    maker = Scenes(pieces, behind, spec, seed=given["seed"])
    made = write_scenes(out, (maker.scene(number) for number in range(count)))
    click.echo(f"{made} scenes from {len(pieces)} sounds and {len(behind)} backgrounds in {out}")


if __name__ == "__main__":
    main()
