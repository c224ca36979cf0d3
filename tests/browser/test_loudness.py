"""How loud the last minute was, on the card of a stream."""

from pathlib import Path

import numpy as np
import soundfile

from tests.conftest import StartDaemon
from tests.support.browser import OpenPage


def test_a_stream_says_how_loud_its_last_minute_was(open_page: OpenPage, daemon: StartDaemon, tmp_path: Path) -> None:
    tone = 0.1 * np.sqrt(2) * np.sin(2 * np.pi * 1000 * np.arange(61 * 16_000) / 16_000)
    soundfile.write(tmp_path / "tone.wav", tone, 16_000, subtype="PCM_16")
    (tmp_path / "config.toml").write_text(
        f'source = ["file:{tmp_path}/tone.wav#name=yard"]\n[loudness.offsets]\nyard = 100.0\n'
    )
    running = daemon("--model", "default", "--fast", env={"STREAMCLF_CONFIG": str(tmp_path / "config.toml")})
    page = open_page(f"http://127.0.0.1:{running.port}/#streams")
    page.wait_for_selector(".stream-card:has-text('LAeq 80.0 dB(A)')")
    card = page.locator(".stream-card").inner_text()

    assert "Last minute" in card
    assert "L10 80.0, L90 80.0" in card
