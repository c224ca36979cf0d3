"""The recording that ships with streamclf, played in a loop: something real to hear where there is no microphone."""

from pathlib import Path

from streamclf.audio.sources.file import FileSource
from streamclf.audio.sources.spec import SourceSpec

DEMO_FILE = Path(__file__).parent.parent / "demo" / "birds_10s.flac"


class DemoSource(FileSource):
    """`file:` over the shipped recording; see ATTRIBUTION.md beside it."""

    def __init__(self, spec: SourceSpec, *, fast: bool = False) -> None:
        super().__init__(spec, fast=fast)
        self.path = DEMO_FILE

    def open(self) -> None:
        """Open it; the description says aloud that this is no microphone."""
        super().open()
        self.description = f"the built-in demo recording {self.path.name} in a loop, {self.rate} Hz (no live sound)"
