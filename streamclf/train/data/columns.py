"""What the columns of a table of annotations hold, told by their names: those of programs, and words of languages.

A name is compared without case, accents, units and punctuation.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from unicodedata import combining, normalize

from streamclf.train.data.tabletext import LabelFileError

Columns = Mapping[str, tuple[int, float]]
"""What a column holds -> (its index, the seconds in one of its unit)."""

# English and programs' own first, then German, French, Spanish, Italian, Portuguese, Dutch, Swedish
_NAMES: dict[str, tuple[str, ...]] = {
    "file": (
        "file", "filename", "filepath", "path", "audio", "audiofile", "audiopath", "notatedpath", "recording",
        "beginfile", "beginpath", "infile", "segmentid", "soundfile", "fname", "wavfile", "slicefilename", "itemid",
        "ytid", "datei", "dateiname", "fichier", "nomdufichier", "archivo", "nomefile", "arquivo", "bestand",
        "bestandsnaam", "fil", "filnamn",
    ),
    "clip": ("slicefilename", "ytid"),
    "folder": ("folder", "indir"),
    "onset": (
        "onset", "start", "starttime", "begin", "begintime", "windowstart", "tmin", "t0", "from", "beginn", "anfang",
        "startzeit", "debut", "inicio", "inizio",
    ),
    "offset": (
        "offset", "end", "endtime", "stop", "stoptime", "windowend", "tmax", "t1", "to", "ende", "endzeit", "fin",
        "fine", "fim", "einde", "slut",
    ),
    "file_onset": ("fileoffset",),
    "duration": ("duration", "length", "deltatime", "dauer", "duree", "duracion", "durata", "duracao", "duur"),
    "label": (
        "label", "annotation", "annotations", "eventlabel", "class", "classname", "category", "species", "speaker",
        "commonname", "manualid", "tag", "name", "ebirdcode", "speciesebirdcode", "speciescode", "primarylabel",
        "autoid", "scientificname", "comname", "sciname", "text", "bezeichnung", "klasse", "art", "tierart", "vogelart",
        "etiquette", "espece", "etiqueta", "especie", "etichetta", "specie", "soort", "latinname",
    ),
    "labels": ("eventlabels", "labels", "categories", "positivelabels"),
    "second_label": ("autoid",),
    "fold": ("fold", "split"),
    "source": ("source", "sourceid", "srcfile", "parent", "fsid"),
    "selection": ("selection",),
}  # fmt: skip
_NO_LABELS = frozenset(
    {
        "selection",
        "view",
        "channel",
        "lowfreqhz",
        "highfreqhz",
        "lowfreq",
        "highfreq",
        "confidence",
        "score",
        "lat",
        "lon",
        "week",
        "id",
        "index",
    }
)
"""Columns that may hold 0 and 1 alone and are no labels."""
_YES, _NO = {"1", "1.0", "true"}, {"0", "0.0", "false", ""}
_UNITS = {"ms": 0.001, "msec": 0.001, "s": 1.0, "sec": 1.0, "secs": 1.0, "seconds": 1.0}
_CLOCK = {"hh", "h", "mm", "ss", "ms", "msec", "mmm"}
"""Parts of a form such as hh:mm:ss.ms, which ELAN writes behind a name."""
_TIMELIKE = re.compile(r"onset|offset|start|begin|stop|time|anfang|zeit|debut|inici|end[^a-z]*$")
_NO_TIMES = re.compile(r"date|clock|record|created|^time$|uhrzeit|timestamp|offsetfile|beginfile|beginpath")
WANTED = "a table needs columns such as file, onset, offset and label"


def columns_of(header: Sequence[str]) -> dict[str, tuple[int, float]]:
    """What is in them; of several names the first listed counts. Raises `LabelFileError` where they are no header."""
    named: dict[str, tuple[int, float]] = {}
    for at, title in enumerate(header):
        name, factor = _normal(title)
        named.setdefault(name, (at, factor))
    found = {}
    for what, names in _NAMES.items():
        for name in names:
            if name in named:
                found[what] = named[name]
                break
    if "onset" not in found and {"offset", "duration"} <= named.keys():
        found["onset"] = found.pop("offset")  # Kaleidoscope calls it so
    if "onset" not in found and {"time", "value", "duration"} <= named.keys():
        found["onset"] = named["time"]  # Sonic Visualiser's regions
    if not {"label", "labels", "file"} & found.keys():
        raise LabelFileError(no_label(header))
    ends = {"offset", "duration"} & found.keys()
    if "onset" in found and not ends:
        raise LabelFileError(f"its columns ({_shown(header)}) give an onset but no offset; name one `offset`")
    if "offset" in found and not {"onset", "duration"} & found.keys():
        raise LabelFileError(f"its columns ({_shown(header)}) give an offset but no onset; name one `onset`")
    return found


def marks_of(lines: Iterable[Sequence[str]], header: Sequence[str], columns: Columns) -> dict[str, int]:
    """Label -> its column, of a table with one of 0 and 1 for each. Raises `LabelFileError` for another table."""
    used = {at for at, _ in columns.values()}
    marks = {title.strip(): at for at, title in enumerate(header)
             if title.strip() and at not in used and _normal(title)[0] not in _NO_LABELS}  # fmt: skip
    ever = set[str]()
    for cells in lines:
        if any(cell.strip() for cell in cells) and list(cells) != list(header) and not cells[0].startswith("#"):
            said = [cell.strip().lower() for cell in cells]
            marks = {label: at for label, at in marks.items() if at < len(said) and said[at] in _YES | _NO}
            ever |= {label for label, at in marks.items() if said[at]}
    marks = {label: at for label, at in marks.items() if label in ever}
    if not marks or "selection" in columns:  # Raven's, whose label has a column of any name
        raise LabelFileError(no_label(header))
    return marks


def is_marked(cell: str) -> bool:
    """Whether a cell of such a column says that its label holds."""
    return cell.strip().lower() in _YES


def no_label(header: Sequence[str]) -> str:
    """A sentence."""
    return f"none of its columns ({_shown(header)}) is a label; name one `label` ({WANTED})"


def untaken_times(header: Sequence[str], columns: Columns) -> list[str]:
    """Names of columns that look like times, of a table whose labels have none that are read."""
    if {"onset", "clip"} & columns.keys():
        return []
    used = {at for at, _ in columns.values()}
    names = [(title.strip(), _plain(title)) for at, title in enumerate(header) if at not in used]
    return [title for title, name in names if _TIMELIKE.search(name) and not _NO_TIMES.search(name)]


def _shown(header: Sequence[str]) -> str:
    return ", ".join(title.strip() for title in header)[:120]


def _plain(title: str) -> str:
    """Letters, figures and blanks alone, without accents."""
    letters = "".join(ch for ch in normalize("NFKD", title.lower()) if not combining(ch))
    return " ".join("".join(ch if ch.isalnum() else " " for ch in letters).split())


def _normal(title: str) -> tuple[str, float]:
    """(the name, seconds in one of its unit)."""
    words = _plain(title).split()
    form = len(words)
    while form > 1 and words[form - 1] in _CLOCK:
        form -= 1
    if len(words) - form > 1:
        return "".join(words[:form]), 1.0  # hh:mm:ss or ss.msec, which say it themselves
    factor = 1.0
    if len(words) > 1 and words[-1] in _UNITS:
        factor = _UNITS[words.pop()]
    return "".join(words), factor
