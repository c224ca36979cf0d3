"""The pack `everyday`: YAMNet for what is heard, the default net for when, Silero for speech.

A fused pack out of three others: two made by their recipes from public releases, and the one that ships. What it adds
is a table of terms, `everyday_fusion.csv`, a head on YAMNet's embedding, `everyday_heads.npz`, and labels of its own;
all are made by `models/everyday/recipe`.
"""

import tempfile
from pathlib import Path

from streamclf.errors import PackError
from streamclf.model.fused import write_fused_pack
from streamclf.model.library import shipped_models_dir
from streamclf.model.loader import HEADS, MANIFEST, labels_of
from streamclf.model.pack import LevelControl, Manifest, Member, Segmentation, Waveform
from streamclf.model.recipes import silero, yamnet, yamnet_tflite
from streamclf.model.recipes.recipe import Recipe, read_bytes, read_text
from streamclf.model.terms import Term, terms_of
from streamclf.types import Label, Shape

_DEFAULT = "default"
_LABELS, _FUSION, _HEADS = "everyday_labels.csv", "everyday_fusion.csv", "everyday_heads.npz"
LEVEL = LevelControl(target_db=8.0, up_db=20.0, down_db=0.0, rate_db_s=4.0)
"""What is quiet is brought up, and nothing down: how loud a sound is says something of what it is."""
HOP_MS = 200
SEGMENTATION = Segmentation(enter=0.5, leave=0.4, min_on_ms=100, min_off_ms=300, reach_back_ms=500)
"""Of labels that have no durations of their own."""

_MANIFEST = Manifest(
    format=1,
    name="everyday",
    version="7",
    title="Everyday sounds: people, animals, weather, vehicles, alarms and the house",
    licence="MIT; of its members yamnet Apache-2.0, silero-vad and default MIT",
    source=f"{yamnet.YAMNET.source}; {silero.SILERO_VAD.source}; the pack default that ships with streamclf",
    # what is made of the members is filled in when it is written
    rate=0,
    shape=Shape.FUSED,
    window=0,
    look_ahead=0,
    features=Waveform(),
    input="",
    output="",
    activation="none",
    members=(
        Member(name="yamnet", sha256="", hop_ms=HOP_MS, level=LEVEL),
        Member(name=_DEFAULT, sha256=""),
        Member(name="silero-vad", sha256=""),
    ),
    when=_DEFAULT,
    segmentation=SEGMENTATION,
    files={},
)


def _build(folder: Path, given: Path | None) -> None:
    """given: None, or a folder that holds the wheels of both recipes."""
    if given is not None and not given.is_dir():
        raise PackError(
            f"{given} is not a folder; everyday is made of two wheels, so name a folder that holds "
            f"{yamnet_tflite.WHEEL.filename} and {silero.WHEEL.filename}"
        )
    shipped = shipped_models_dir() / _DEFAULT
    if not (shipped / MANIFEST).is_file():
        raise PackError(f"the pack {_DEFAULT} is not in {shipped}, and everyday is made of it; install streamclf again")
    with tempfile.TemporaryDirectory(prefix="streamclf-") as made:
        yamnets, sileros = Path(made) / "yamnet", Path(made) / "silero-vad"
        yamnet.YAMNET.build(yamnets, given and given / yamnet_tflite.WHEEL.filename)
        silero.SILERO_VAD.build(sileros, given and given / silero.WHEEL.filename)
        write_fused_pack(
            folder,
            _MANIFEST,
            members={"yamnet": yamnets, _DEFAULT: shipped, "silero-vad": sileros},
            labels=labels(),
            terms=terms(),
            card=read_text("everyday.md"),
            extra={HEADS: read_bytes(_HEADS), "CREDITS.md": read_bytes("everyday_credits.md")},
        )


def labels() -> tuple[Label, ...]:
    """The classes, in the order of the pack's rows."""
    return labels_of(read_text(_LABELS).encode(), Path(_LABELS))


def terms() -> list[Term]:
    """What each class is made of."""
    return terms_of(read_text(_FUSION).encode(), Path(_FUSION))


EVERYDAY = Recipe(
    name=_MANIFEST.name,
    version=_MANIFEST.version,
    title=_MANIFEST.title,
    licence=_MANIFEST.licence,
    source=_MANIFEST.source,
    build=_build,
)
