"""Where the model's recordings come from, under which licence, and who is owed a word of thanks: text for its card."""

import re
from collections.abc import Sequence
from pathlib import Path

from models.default.recipe import more
from models.default.recipe.corpus import CorpusClip
from models.default.recipe.gather import provenance

_CREDITS: dict[str, str] = {
    "Blanket": "sounds of that application: boat by Falcet, birds by kvgarlic, city by gezortenplotz, coffee shop "
    "by stephan, fireplace by ezwa, pink noise by Omegatron, rain by alex36917, crickets by Lisa Redfern, storm by "
    "digifishmusic, train by SDLx, waves by Luftrum, white noise by Jorge Stolfi, wind by felix.blume",
    "IBM MAX Audio Classifier samples": "Freesound: Lemoncreme (piano), SoundsExciting (crowd), Sub-d (guitar), Rodzuz "
    "(typing), InspectorJ (thunder, car engine), markedit (train), joshuaempyre (arcade music), mookie182 (snoring), "
    "Hoerspielwerkstatt_HEF (cinematic)",
    "Free Spoken Digit Dataset": "Zohar Jackson and contributors",
    "animal_song": "examples of vocalpy and of opensoundscape",
    "scikit-maad": "Juan Sebastian Ulloa and contributors, soundscapes of scikit-maad",
    "asterisk-core-sounds": "Allison Smith, June Wallack, Carlo Flora, Maxim Topal; Digium",
    "asterisk-moh-opsound-wav": "Paul Shuler (Macroform), Manolo Camp, Reno Project",
    "bucklespring-data": "Ico Doornekamp",
    "fillets-ng-data": "ALTAR interactive and the Fish Fillets NG team",
    "fluid-soundfont-gm": "Frank Wen, FluidR3",
    "gcompris-qt-data": "Bruno Coudoin, Lionel Allorge, Yves Combe and contributors of GCompris; Freesound: inchadney, "
    "lolamadeus, MAJ061785, henrique85n, fridobeck",
    "klettres-data": "Anne-Marie Mahfouf and the speakers of KLettres",
    "ktuberling-data": "Albert Astals Cid, Éric Bischoff and the speakers of KTuberling",
    "openttd-opensfx": "OpenSFX: Janis Lukss, Wuzzy and the authors named in its readme",
    "pocketsphinx-testdata": "Carnegie Mellon University, Alpha Cephei; LibriVox",
    "sonic-pi-samples": "Sam Aaron's selection of Freesound recordings",
    "sound-theme-freedesktop": "corsica_s, Dr. Richard Boulanger, Ivica Bukvic, Damien Sandras, horsthorstensen",
    "tuxpaint-stamps-default": "Bill Kendrick and the contributors and speakers of Tux Paint",
}
_CLIP_OF = re.compile(r"([1-5]-\d+-[A-Z])\.ogg.*?\*(?P<author>[^*]+)\* \(\[(?P<licence>CC-BY|CC0)\]")


def section(clips: Sequence[CorpusClip], data: Path) -> str:
    """Markdown: a table of origins, then the credits that their licences ask for. data: the folder with `esc10`."""
    lines = [
        "| origin | licence | clips | sources | minutes | classes |",
        "|---|---|---|---|---|---|",
    ]
    for row in provenance(list(clips)):
        minutes = float(str(row["seconds"])) / 60
        classes = ", ".join(map(str, row["classes"]))  # type: ignore[call-overload]
        lines.append(
            f"| {row['origin']} | {row['licence']} | {row['clips']} | {row['sources']} | {minutes:.1f} | {classes} |"
        )
    origins = {clip.origin for clip in clips}
    lines += ["", "Credits:", ""]
    credits = {**_CREDITS, **more.credits(data / "more")}
    lines += [f"- {origin}: {credit}" for origin, credit in credits.items() if origin in origins]
    authors = esc10_authors(data / "esc10/README.md")
    lines.append(f"- ESC-10, K. J. Piczak, with recordings under CC BY 3.0 from Freesound by {', '.join(authors)}")
    return "\n".join(lines) + "\n"


def esc10_authors(readme: Path) -> list[str]:
    """Who made the recordings of folds 1 to 4 that ask for attribution, sorted."""
    found = _CLIP_OF.finditer(readme.read_text("utf-8"))
    return sorted({m["author"] for m in found if m["licence"] == "CC-BY" and m[1][0] in "1234"}, key=str.lower)
