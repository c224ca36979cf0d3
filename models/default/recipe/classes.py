"""What the default model tells apart, and which of YAMNet's classes and of ESC-10's folders mean the same.

A class is here because someone would act on it and because there are recordings of it from several sources, so that
one can be kept for the test. What is wanted but has no such recordings is named in `WANTED`, for the model card.
"""

from dataclasses import dataclass

from streamclf.model.recipes.yamnet import labels


@dataclass(frozen=True, slots=True)
class Class:
    """One output. yamnet: names of YAMNet's classes that answer for it. esc10: the folder of ESC-10 that holds it."""

    label: str
    title: str
    groups: tuple[str, ...]
    yamnet: tuple[str, ...]
    esc10: str | None = None


CLASSES: tuple[Class, ...] = (
    Class(
        "speech",
        "Speech",
        ("voice",),
        (
            "Speech",
            "Child speech, kid speaking",
            "Conversation",
            "Narration, monologue",
            "Speech synthesizer",
            "Shout",
            "Whispering",
        ),
    ),
    Class("baby_cry", "Baby cry", ("voice",), ("Baby cry, infant cry", "Crying, sobbing"), "baby_cry"),
    Class("sneeze", "Sneeze or cough", ("body",), ("Sneeze", "Cough"), "person_sneeze"),
    Class("crowd", "Crowd or applause", ("crowd",), ("Crowd", "Applause", "Cheering", "Clapping")),
    Class("music", "Music", ("music",), ("Music",)),
    Class(
        "bird",
        "Bird",
        ("bird",),
        (
            "Bird",
            "Bird vocalization, bird call, bird song",
            "Chirp, tweet",
            "Squawk",
            "Pigeon, dove",
            "Coo",
            "Crow",
            "Caw",
            "Owl",
            "Hoot",
            "Duck",
            "Quack",
            "Goose",
            "Honk",
            "Turkey",
            "Gobble",
        ),
    ),
    Class(
        "rooster",
        "Rooster or hen",
        ("bird",),
        ("Chicken, rooster", "Crowing, cock-a-doodle-doo", "Cluck", "Fowl"),
        "rooster",
    ),
    Class("dog", "Dog", ("dog",), ("Dog", "Bark", "Yip", "Howl", "Bow-wow"), "dog_bark"),
    Class(
        "livestock",
        "Farm animal",
        ("animal",),
        ("Horse", "Neigh, whinny", "Cattle, bovinae", "Moo", "Pig", "Oink", "Goat", "Bleat", "Sheep"),
    ),
    Class("insect", "Insect", ("insect",), ("Insect", "Cricket", "Mosquito", "Fly, housefly", "Bee, wasp, etc.")),
    Class("rain", "Rain", ("weather",), ("Rain", "Raindrop", "Rain on surface"), "rain"),
    Class("wind", "Wind", ("weather",), ("Wind", "Wind noise (microphone)")),
    Class("thunder", "Thunder", ("weather",), ("Thunder", "Thunderstorm")),
    Class("water", "Sea or water", ("water",), ("Ocean", "Waves, surf", "Stream", "Waterfall", "Water"), "sea_waves"),
    Class("fire", "Fire", ("fire",), ("Fire", "Crackle"), "fire_crackling"),
    Class(
        "engine",
        "Engine or vehicle",
        ("vehicle",),
        ("Motor vehicle (road)", "Car", "Truck", "Motorcycle", "Engine", "Idling", "Vehicle"),
    ),
    Class("train", "Train", ("vehicle",), ("Train", "Rail transport", "Train whistle", "Train horn")),
    Class(
        "helicopter",
        "Helicopter or aircraft",
        ("vehicle",),
        ("Helicopter", "Aircraft", "Fixed-wing aircraft, airplane", "Propeller, airscrew"),
        "helicopter",
    ),
    Class("chainsaw", "Chainsaw", ("tool",), ("Chainsaw", "Light engine (high frequency)", "Lawn mower"), "chainsaw"),
    Class("keyboard", "Keyboard", ("household",), ("Computer keyboard", "Typing", "Typewriter")),
    Class("clock_tick", "Clock tick", ("household",), ("Tick", "Tick-tock", "Clock"), "clock_tick"),
    Class(
        "alarm",
        "Alarm, siren, bell or phone",
        ("alarm",),
        (
            "Alarm",
            "Alarm clock",
            "Siren",
            "Smoke detector, smoke alarm",
            "Fire alarm",
            "Telephone",
            "Ringtone",
            "Telephone bell ringing",
            "Bell",
            "Church bell",
            "Bicycle bell",
            "Doorbell",
            "Ding-dong",
            "Beep, bleep",
        ),
    ),
    Class("background", "Silence or noise", ("silence",), ("Silence", "White noise", "Pink noise", "Static")),
)
"""In the order of the model's outputs. `background` is not an event: it holds where nothing else does."""

WANTED: dict[str, str] = {
    "cat": "two short recordings",
    "frog": "two short recordings",
    "owl": "two short recordings, which count as birds",
    "snoring": "one recording",
    "glass": "two short recordings",
    "door or knock": "five single sounds that have little in common",
}
"""Class -> why it is left out."""

LABELS: tuple[str, ...] = tuple(one.label for one in CLASSES)
COLUMN: dict[str, int] = {label: at for at, label in enumerate(LABELS)}
BACKGROUND: int = COLUMN["background"]
BY_ESC10: dict[str, str] = {one.esc10: one.label for one in CLASSES if one.esc10}

IMPLIED: dict[str, tuple[str, ...]] = {"rooster": ("bird",)}
"""Classes that hold wherever another does: a rooster is a bird."""


def teacher_columns() -> list[list[int]]:
    """Of each class YAMNet's outputs that answer for it."""
    at = {label.name: column for column, label in enumerate(labels())}
    return [[at[name] for name in one.yamnet] for one in CLASSES]
