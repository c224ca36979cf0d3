"""Which sound of which Debian package is what. What is not named here, and is not speech, is not used."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from models.default.recipe.corpus import CorpusClip, Split
from models.default.recipe.sources import audio, clip, shuffled

_TR: Final = "train"
_CH: Final = "choose"
_TE: Final = "test"
# languages, one or a few speakers each, that are kept apart in all sets: who speaks Danish in one may do so in another
_SPEECH_SPLIT: dict[str, Split] = {
    **dict.fromkeys(("da", "it", "lt", "nl", "uk"), _TE),
    **dict.fromkeys(("de", "el", "sl", "wa"), _CH),
}
_MOST_OF_A_SPEAKER = 120
_NO_WORDS = frozenset({"beep", "beeperr", "silence"})

# package -> (licence, class -> split -> file stems; several of one source are joined by +)
SOUNDS: dict[str, tuple[str, dict[str | None, dict[Split, str]]]] = {
    "tuxpaint-stamps-default": (
        "GPL-2",
        {
            "bird": {
                _TR: "blackbird cuckoo drake duck heron_greatblue_flying seagull tucan turkey owl",
                _CH: "gander",
                _TE: "crow lark quetzal vulture",
            },
            "rooster": {_TR: "hen rooster"},
            "dog": {_TR: "dog"},
            "insect": {_TR: "bee mosquito", _CH: "xanthia", _TE: "grasshopper hornet"},
            "livestock": {
                _TR: "bull cow goat ram sheep_lamb pig",
                _CH: "cow_white pig_golden",
                _TE: "sheep mountaingoat donkey",
            },
            "music": {_TR: "drumkit cello bassoon final-roll-call", _TE: "violin"},
            "thunder": {_TR: "lightningbolt"},
            "alarm": {_TE: "firetruck"},
            None: {
                _TR: "chimp gorilla dolphin orca whale bear camel dromedary lion caribou elephant ferret "
                "hippopotamus beaver mouse rabbit koala camera_35mm Washing-machine scissors_small_closed "
                "bottle kettle hammer saw toilet frog",
                _CH: "tiger deer fox squirrel vacuum_cleaner mallet_metal",
                _TE: "sea_lion bison doe glass scissors_small_open rubberduck blackcat",
            },
        },
    ),
    "gcompris-qt-data": (
        "GPL-3, CC BY 3.0 or Free Art, by file",
        {
            "bird": {_TE: "explore_farm_animals-owl", _CH: "explore_farm_animals-duck"},
            "rooster": {_TR: "explore_farm_animals-chickens"},
            "dog": {_TR: "explore_farm_animals-dog", _CH: "memory-sound-LRBark_1_LA_cut+memory-sound-LRBark_3_LA_cut"},
            "livestock": {
                _TR: "explore_farm_animals-pig explore_farm_animals-sheep",
                _TE: "explore_farm_animals-horse explore_farm_animals-cow",
            },
            "music": {
                _TR: "explore_world_music-australia explore_world_music-italy explore_world_music-middleeast "
                "explore_world_music-mexico explore_world_music-africa instruments-accordion instruments-banjo "
                "instruments-cello instruments-clarinet instruments-flute_traversiere instruments-guitar "
                "instruments-harp instruments-horn instruments-piano instruments-trumpet memory-sound-guitar_melody",
                _CH: "explore_world_music-america instruments-electric_guitar instruments-organ instruments-saxophone",
                _TE: "explore_world_music-japan explore_world_music-ireland explore_world_music-beethoven "
                "instruments-harmonica instruments-violin instruments-tuba",
            },
            "crowd": {_TE: "memory-sound-LRApplauses_1_LA_cut"},
            "engine": {_TR: "traffic-car", _TE: "memory-sound-LRStartAndStopCarEngine1LACut"},
            "train": {_TE: "memory-sound-LRTrain_slowing_down_01_LA_cut", _TR: "railroad-train"},
            "helicopter": {_TR: "guessnumber-helicopter"},
            "rain": {_TR: "memory-sound-LRRain_in_garden_01_LA_cut"},
            "water": {_TR: "canal_lock-water_fill core-water watercycle-harbor2"},
            "alarm": {_TR: "memory-sound-LRRing_01_LA"},
            None: {
                _TR: "memory-sound-LRObject_falling_01_LA+memory-sound-LRObject_falling_02_LA core-crash core-brick "
                "memory-sound-LRFactory_noise_01_LA+memory-sound-LRFactory_noise_02_LA scalesboard-metal_hit "
                "memory-sound-LRDoor_Open_2_LA memory-sound-LRHits_01_LA melody-knock money-money2 ",
                _CH: "canal_lock-door_open canal_lock-lock memory-sound-LRHeart_beat_01_LA",
                _TE: "canal_lock-door_close memory-sound-LRFactory_noise_04_LA money-money1 target-arrow "
                "mining-pickaxe reversecount-icy_walk",
            },
        },
    ),
    "openttd-opensfx": (
        "CC BY-SA 3.0",
        {
            "bird": {_TR: "opensfx-72"},
            "livestock": {_TR: "opensfx-36", _CH: "opensfx-37 opensfx-38"},
            "engine": {_TR: "opensfx-25+opensfx-26 opensfx-28", _CH: "opensfx-27"},
            "train": {_TR: "opensfx-04+opensfx-05 opensfx-10", _CH: "opensfx-71"},
            "helicopter": {_TR: "opensfx-08 opensfx-09 opensfx-24 opensfx-70", _CH: "opensfx-62", _TE: "opensfx-60"},
            "crowd": {_TR: "opensfx-29"},
            "wind": {_TE: "opensfx-53"},
            "chainsaw": {_TR: "opensfx-57"},
            "alarm": {_TR: "opensfx-14"},
            None: {
                _TR: "opensfx-12 opensfx-15 opensfx-17 opensfx-18 opensfx-20 opensfx-33 opensfx-39 opensfx-55",
                _CH: "opensfx-16 opensfx-22",
                _TE: "opensfx-06 opensfx-07 opensfx-11 opensfx-13 opensfx-35 opensfx-56",
            },
        },
    ),
    "fillets-ng-data": (
        "GPL-2",
        {
            "bird": {_TR: "mik-x-stebet0+mik-x-stebet1+mik-x-stebet2+mik-x-stebet3"},
            "dog": {_TR: "dr-x-pes"},
            "livestock": {_TR: "ncp-x-ihaha"},
            "engine": {_TR: "mot-x-motor"},
            "clock_tick": {_TR: "sm-x-tiktak"},
            "alarm": {_TE: "bat-t-budik steel-x-redalert", _CH: "bat-t-phone0+bat-t-phone1"},
            "music": {_TR: "kor-room-music", _CH: "kan-klavir-music"},
            None: {_TR: "sp-impact_light_01 sp-impact_heavy_01 dr-x-buch k1-x-vrz", _TE: "br-x-pracka unlocking-0"},
        },
    ),
    "sound-theme-freedesktop": (
        "CC BY-SA 3.0, CC BY 3.0 or GPL-2, by file",
        {
            "alarm": {
                _TR: "alarm-clock-elapsed phone-outgoing-busy phone-outgoing-calling",
                _CH: "bell",
                _TE: "phone-incoming-call",
            },
            None: {_TR: "camera-shutter message", _CH: "device-added+device-removed"},
        },
    ),
    "sonic-pi-samples": (
        "CC0",
        {
            "bird": {_TR: "misc_crow"},
            "alarm": {_TR: "elec_bell perc_bell"},
            "music": {
                _TR: "loop_amen loop_breakbeat loop_compus loop_electric loop_garzul loop_mika loop_tabla guit_em9 "
                "guit_e_slide ambi_piano ambi_choir loop_mehackit1 loop_safari",
                _CH: "loop_perc1 loop_mehackit2 guit_harmonics",
                _TE: "loop_industrial loop_weirdo guit_e_fifths",
            },
            None: {
                _TR: "perc_till perc_impact1 perc_swoosh misc_burp ambi_lunar_land ambi_glass_rub elec_blip",
                _CH: "perc_snap perc_impact2 vinyl_scratch",
                _TE: "perc_door perc_swash perc_snap2 vinyl_rewind loop_3d_printer",
            },
        },
    ),
    "asterisk-moh-opsound-wav": (
        "CC BY-SA 3.0",
        {
            "music": {
                _TR: "macroform-cold_day+macroform-robot_dity+macroform-the_simplicity",
                _CH: "reno_project-system",
                _TE: "manolo_camp-morning_coffee",
            }
        },
    ),
}


def sounds(unpacked: Path) -> Iterator[CorpusClip]:
    """The sounds that are named above."""
    for package, (licence, classes) in SOUNDS.items():
        by_stem = {path.stem: path for path in reversed(audio(unpacked / package)) if "_desc" not in path.stem}
        for label, splits in classes.items():
            for split, stems in splits.items():
                for group in stems.split():
                    source = f"{package}-{group.split('+')[0]}"
                    for stem in group.split("+"):
                        yield clip(by_stem[stem], label, "event", source, split, licence, package)


def speech(unpacked: Path) -> Iterator[CorpusClip]:
    """Words and sentences, by set and language."""
    own = unpacked / "asterisk-core-sounds"
    for language, speaker in (("en", "allison"), ("es", "allison"), ("fr", "june"), ("it", "carlo"), ("ru", "maxim")):
        paths = [
            path
            for path in audio(own.with_name(f"{own.name}-{language}-wav"))
            if not _NO_WORDS & {path.stem, path.parent.name}
        ]
        yield from _spoken(paths, f"asterisk-{speaker}", language, "CC BY-SA 3.0", "asterisk-core-sounds")
    by_language: dict[str, list[Path]] = {}
    for path in audio(unpacked / "tuxpaint-stamps-default"):
        _, found, language = path.stem.partition("_desc")
        if found and language.strip("_"):
            by_language.setdefault(language.strip("_").partition(".")[0], []).append(path)
    for language, paths in sorted(by_language.items()):
        yield from _spoken(paths, f"tuxpaint-{language}", language, "GPL-2", "tuxpaint-stamps-default")
    for package in ("klettres-data", "ktuberling-data"):
        by_language = {}
        for path in audio(unpacked / package):
            parts = path.relative_to(unpacked / package).parts
            at = parts.index("klettres" if package == "klettres-data" else "sounds")
            by_language.setdefault(parts[at + 1].partition("@")[0], []).append(path)
        for language, paths in sorted(by_language.items()):
            yield from _spoken(paths, f"{package}-{language}", language, "GPL-2+", package)
    for path in audio(unpacked / "pocketsphinx-testdata"):
        reader = "librivox" if "librivox" in path.parts else "cards"
        split: Split = _TE if reader == "librivox" else _CH
        yield clip(path, "speech", "speech", f"pocketsphinx-{reader}", split, "BSD-2-Clause", "pocketsphinx-testdata")


def keys(unpacked: Path) -> dict[str, tuple[Split, str, list[Path]]]:
    """Keyboards of which single keys were recorded: source -> split, licence, keys."""
    buckle = [path for path in audio(unpacked / "bucklespring-data") if not path.stem.startswith("ff")]
    typed = [
        path for path in audio(unpacked / "fillets-ng-data") if path.parent.parent.name == "linux" or "key" in path.stem
    ]
    return {
        "bucklespring-data": ("train", "GPL-2+", buckle),
        "fillets-ng-data-keys": ("choose", "GPL-2", [path for path in typed if path.stem[:3] in ("key", "spa", "ent")]),
    }


def _spoken(paths: list[Path], source: str, language: str, licence: str, origin: str) -> Iterator[CorpusClip]:
    split = _SPEECH_SPLIT.get(language.split("_")[0], "train")
    # which ones are taken must not hang on where the folder lies
    names = {"/".join(path.parts[-5:]): path for path in paths}
    for name in shuffled(set(names))[:_MOST_OF_A_SPEAKER]:
        yield clip(names[name], "speech", "speech", source, split, licence, origin)
