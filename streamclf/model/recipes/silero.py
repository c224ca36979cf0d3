"""The pack `silero-vad`: voice activity from the waveform, with the weights of the silero-vad wheel."""

from pathlib import Path

from streamclf.model.pack import Manifest, Segmentation, StateTensor, Waveform
from streamclf.model.packwriter import write_pack
from streamclf.model.recipes import silero_net
from streamclf.model.recipes.recipe import Recipe, read_text
from streamclf.model.recipes.wheel import Wheel, member
from streamclf.types import Label, Shape

WHEEL = Wheel(
    name="silero-vad",
    version="6.2.3",
    filename="silero_vad-6.2.3-py3-none-any.whl",
    sha256="7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
)
# of the wheel's graphs one whose weights bear the names of its layers
_MODEL = "silero_vad/data/silero_vad_op18_ifless.onnx"
_MODEL_SHA256 = "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28"
_MODEL_SIZE = 2_845_718
_LICENCE = "silero_vad-6.2.3.dist-info/licenses/LICENSE"
_LICENCE_SHA256 = "2e63e9a38b6e8fc0c7bc37ce174caca1862870856c6daf5697cfb785e925520b"
_LICENCE_SIZE = 1075

_MANIFEST = Manifest(
    format=1,
    name="silero-vad",
    version="6.2.3-2",
    title="Silero VAD: is somebody speaking",
    licence="MIT",
    source="PyPI wheel silero-vad 6.2.3, weights of silero_vad_op18_ifless.onnx (Silero Team)",
    rate=16_000,
    shape=Shape.STATEFUL,
    # 512 new samples behind 64 that the graph has seen before
    window=silero_net.SAMPLES,
    step=512,
    look_ahead=0,
    features=Waveform(),
    input="input",
    output="output",
    activation="none",
    state=(StateTensor(input="state", output="new_state", shape=(0, silero_net.STATE)),),
    # the package's own iterator enters at 0.5, leaves 0.15 lower and waits 100 ms; it drops speech under 250 ms,
    # which would delay every onset by as much
    segmentation=Segmentation(enter=0.5, leave=0.35, min_on_ms=60, min_off_ms=100),
    files={},
)


def _build(folder: Path, given: Path | None) -> None:
    wheel = WHEEL.read(given) if given else WHEEL.fetch()
    published = member(wheel, _MODEL, sha256=_MODEL_SHA256, size=_MODEL_SIZE)
    model = silero_net.graph(published, release=WHEEL.filename)
    licence = member(wheel, _LICENCE, sha256=_LICENCE_SHA256, size=_LICENCE_SIZE)
    labels = [Label("speech", "Speech", "voice")]
    write_pack(
        folder, _MANIFEST, model=model, labels=labels, card=read_text("silero-vad.md"), extra={"LICENSE": licence}
    )


SILERO_VAD = Recipe(
    name=_MANIFEST.name,
    version=_MANIFEST.version,
    title=_MANIFEST.title,
    licence=_MANIFEST.licence,
    source=_MANIFEST.source,
    build=_build,
)
