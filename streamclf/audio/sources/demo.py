"""The recording that ships with streamclf, played in a loop: something real to hear where there is no microphone.

It is no sound of this place, so none of it is kept or told by alerts unless `#store=yes` asks for that.
"""

from pathlib import Path

from streamclf.audio.sources.file import FileSource
from streamclf.audio.sources.kind import Option, SourceKind, yes_no
from streamclf.audio.sources.spec import SourceSpec
from streamclf.errors import UsageError

DEMO_FILE = Path(__file__).parent.parent / "demo" / "birds_10s.flac"


class DemoSource(FileSource):
    """`file:` over the shipped recording; see ATTRIBUTION.md beside it."""

    def __init__(self, spec: SourceSpec, *, fast: bool = False) -> None:
        super().__init__(spec, fast=fast)
        self.path = DEMO_FILE
        self.loop = True
        self._kept = bool(spec.options.get("store"))

    def open(self) -> None:
        """Open it; the description says aloud that this is not a microphone."""
        super().open()
        told = "no live sound" if self._kept else "no live sound; none of it is kept or told without #store=yes"
        self.description = f"the built-in demo recording {self.path.name} in a loop, {self.rate} Hz ({told})"


def _argument(text: str) -> str:
    if text.strip():
        raise UsageError(f"demo takes no argument, got {text.strip()!r}; a recording of yours is file:PATH")
    return ""


KIND = SourceKind(
    name="demo",
    usage="demo",
    summary="the recording that ships with streamclf",
    example="demo",
    make=DemoSource,
    argument=_argument,
    channels=False,
    options=(
        Option("store", lambda text: yes_no("store", text), "yes: keep its events and raise alerts, as of real sound"),
    ),
    recorded=True,
    demo=True,
)
