"""Clips: what is cut and when, which one of a visit is kept, what happens to speech, what files are called."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

from streamclf.audio.ring import Ring
from streamclf.clock import NS_PER_FRAME
from streamclf.config import ClipsConfig
from streamclf.errors import ConfigError
from streamclf.store.clips import FOLDER, MAX_PLANNED, Clipper, ClipSource, Cut, clip_name, write_clip
from streamclf.store.events import StoredEvent
from streamclf.types import FrameScores, Label, Levels, Status, StreamState
from tests.support.storing import START_NS, stored

RATE, HOP = 16_000, 320
LABELS = {"birds": [Label("robin", "Robin", "bird")], "vad": [Label("speech", "Speech", "voice")]}


class Bench:
    """A stream whose sample i has the value i / 2^20, heard up to any frame, and a clipper over it."""

    def __init__(self, *, seconds: int = 60, packs: tuple[str, ...] = ("birds", "vad"), **config: Any) -> None:
        given = {"enabled": True, "pre_ms": 1000, "post_ms": 500, "max_ms": 10_000, "privacy_margin_ms": 100}
        self.ring = Ring(seconds * RATE)
        self.clipper = Clipper(ClipsConfig(**{**given, **config}), {"mic": ClipSource(self.ring, RATE, packs)}, LABELS)

    def hear(self, frame: int, *, speech: tuple[int, int] | None = None, judged: int | None = None) -> list[Cut]:
        """Up to `frame`; the pack vad has judged up to `judged`, and hears speech in the frames given."""
        first = self.ring.written // HOP
        self.ring.write((np.arange(first * HOP, frame * HOP) / 2**20).astype(np.float32))
        level = np.zeros(frame - first, dtype=np.float32)
        judged = frame if judged is None else judged
        rows = np.full((max(0, judged - first), 1), 0.01, dtype=np.float32)
        if speech is not None:
            rows[speech[0] - first : speech[1] - first] = 0.9
        self.clipper.take([Levels("mic", first, level, level)])
        if len(rows):
            self.clipper.take([FrameScores("mic", "vad", first, rows, True, 0)])
        return self.clipper.due()

    def tell(self, onset: int, offset: int | None, *, stage: str = "close", **changes: Any) -> StoredEvent:
        event = stored(
            id=f"run/mic/birds/robin/{onset}",
            onset_frame=onset,
            offset_frame=offset,
            onset_ns=START_NS + onset * NS_PER_FRAME,
            offset_ns=None if offset is None else START_NS + offset * NS_PER_FRAME,
            stage=stage,
            **changes,
        )
        self.clipper.plan([event])
        return event

    def event(self, onset: int, offset: int, **changes: Any) -> StoredEvent:
        """From its opening to its end."""
        self.tell(onset, None, stage="open", **changes)
        return self.tell(onset, offset, **changes)


def frames(cut: Cut) -> tuple[int, int]:
    first = round(float(cut.samples[0]) * 2**20)
    return first // HOP, first // HOP + len(cut.samples) // HOP


def test_a_clip_has_what_was_before_and_after_and_waits_for_it() -> None:
    bench = Bench()
    bench.hear(140)
    bench.event(100, 130)
    assert bench.hear(154) == []
    (cut,) = bench.hear(155)
    assert frames(cut) == (50, 155)
    assert bench.hear(300) == []


def test_no_clip_begins_before_the_stream() -> None:
    bench = Bench()
    bench.event(10, 30)
    (cut,) = bench.hear(100)
    assert frames(cut) == (0, 55)


def test_an_event_that_lasts_is_cut_at_the_longest_clip_and_only_once() -> None:
    bench = Bench()
    bench.tell(100, None, stage="open")
    bench.hear(500)
    (cut,) = bench.hear(550)
    assert frames(cut) == (50, 550)
    bench.tell(100, None, stage="update")
    bench.tell(100, 600)
    assert bench.hear(800) == []


@pytest.mark.parametrize(("wanted_ms", "end"), [(4000, 250), (60_000, 550), (None, 550)])
def test_rules_may_want_a_shorter_clip(wanted_ms: int | None, end: int) -> None:
    bench = Bench()
    bench.clipper.wanted_ms = lambda event: wanted_ms if event.label == "robin" else 100
    bench.event(100, 540)
    (cut,) = bench.hear(800)
    assert frames(cut) == (50, end)


def test_labels_choose_whose_clips_are_kept() -> None:
    for wanted, kept in ((("robin",), 1), (("group:bird",), 1), (("owl", "group:voice"), 0), ((), 1)):
        bench = Bench(labels=wanted)
        bench.event(100, 130)
        assert len(bench.hear(200)) == kept


def test_a_stream_that_is_no_line_such_as_the_self_tests_gets_no_clip() -> None:
    bench = Bench()
    bench.event(100, 130, stream="self-test")
    assert bench.hear(200) == []


def test_of_a_visit_the_best_is_kept_and_not_the_newest() -> None:
    bench = Bench(visit_ms=10_000)
    found = []
    for number, peak in enumerate((0.6, 0.9, 0.7)):
        bench.event(100 + 200 * number, 130 + 200 * number, peak=peak)
        found += bench.hear(200 + 200 * number)
    assert [cut.event.peak for cut in found] == [0.6, 0.9]
    assert found[0].replaces is None
    assert found[1].replaces == (found[0].event.id, found[0].name)


def test_a_pause_longer_than_a_visit_begins_another() -> None:
    bench = Bench(visit_ms=2000)
    bench.event(100, 130, peak=0.9)
    bench.hear(200)
    bench.event(230, 330, peak=0.6)
    assert bench.hear(360) == []
    bench.event(431, 450, peak=0.6)
    (cut,) = bench.hear(600)
    assert cut.replaces is None


def test_at_the_end_of_a_stream_or_of_the_daemon_there_is_less_after_it() -> None:
    bench = Bench()
    bench.event(100, 130)
    assert bench.hear(135) == []
    bench.clipper.take([Status("mic", StreamState.ENDED, "")])
    (cut,) = bench.clipper.due()
    assert frames(cut) == (50, 135)

    bench = Bench()
    bench.event(100, 130)
    bench.hear(140)
    (cut,) = bench.clipper.due(last=True)
    assert frames(cut) == (50, 140)


def test_what_was_overwritten_gives_no_clip() -> None:
    bench = Bench(seconds=5)
    bench.event(100, 130)
    assert bench.hear(500) == []
    assert bench.clipper.missed == 1


def test_too_many_plans_cost_the_oldest() -> None:
    bench = Bench()
    for onset in range(MAX_PLANNED + 3):
        bench.tell(onset, None, stage="open")
    assert bench.clipper.missed == 3


def test_muted_speech_is_silent_to_the_frame_with_its_margin_and_the_rest_is_there() -> None:
    bench = Bench(privacy="mute")
    bench.event(100, 130)
    assert bench.hear(156, speech=(90, 100)) == []  # the margin behind the clip has not been judged yet
    (cut,) = bench.hear(160)
    silent = (cut.samples.reshape(-1, HOP) == 0).all(axis=1)
    assert (np.flatnonzero(silent) + 50).tolist() == list(range(85, 105))


def test_speech_just_outside_the_clip_mutes_its_edge() -> None:
    bench = Bench(privacy="mute")
    bench.event(100, 130)
    (cut,) = bench.hear(200, speech=(47, 48))
    silent = (cut.samples.reshape(-1, HOP) == 0).all(axis=1)
    assert (np.flatnonzero(silent) + 50).tolist() == [50, 51, 52]


def test_with_drop_no_clip_with_speech_is_kept() -> None:
    bench = Bench(privacy="drop", visit_ms=0)
    bench.event(100, 130)
    assert bench.hear(200, speech=(152, 153)) == []
    bench.event(300, 330)
    assert len(bench.hear(400)) == 1


def test_frames_that_nobody_judged_count_as_speech() -> None:
    bench = Bench(seconds=12, privacy="mute")
    bench.event(100, 130)
    assert bench.hear(160, judged=120) == []
    (cut,) = bench.hear(500, judged=120)  # the ring will not hold it much longer
    silent = (cut.samples.reshape(-1, HOP) == 0).all(axis=1)
    assert (np.flatnonzero(silent) + 50).tolist() == list(range(115, 155))


def test_speech_is_looked_for_in_every_class_of_the_row() -> None:
    """A pack of 500 classes where speech is far from the likeliest."""
    labels = {"big": [Label(f"c{i}", "", "noise") for i in range(499)] + [Label("whispering", "", "voice")]}
    ring = Ring(60 * RATE)
    config = ClipsConfig(enabled=True, pre_ms=0, post_ms=0, privacy="drop", privacy_margin_ms=0)
    clipper = Clipper(config, {"mic": ClipSource(ring, RATE, ("big",))}, labels)
    ring.write(np.ones(100 * HOP, dtype=np.float32))
    rows = np.full((100, 500), 0.9, dtype=np.float32)
    rows[:, -1] = 0.31
    level = np.zeros(100, dtype=np.float32)
    clipper.take([Levels("mic", 0, level, level), FrameScores("mic", "big", 0, rows, True, 0)])
    event = stored(onset_frame=10, offset_frame=20)
    clipper.plan([msgspec.structs.replace(event, stage="open", offset_frame=None), event])
    assert clipper.due() == []


@pytest.mark.parametrize("privacy", ["mute", "drop"])
def test_privacy_without_a_pack_that_tells_speech_is_refused(privacy: str) -> None:
    with pytest.raises(ConfigError, match=f'clips.privacy = "{privacy}" needs a pack that tells speech.*mic .birds'):
        Bench(privacy=privacy, packs=("birds",))


@pytest.mark.parametrize(("form", "rate"), [("flac", 44_100), ("flac", 16_000), ("opus", 48_000), ("opus", 44_100)])
def test_what_is_written_is_what_was_heard(tmp_path: Path, form: str, rate: int) -> None:
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.float32)
    name = clip_name(stored(), form)
    write_clip(tmp_path, Cut(stored(), name, tone, rate, None))

    path = tmp_path / FOLDER / name
    samples, found = soundfile.read(path, dtype="float32")
    assert found == (48_000 if form == "opus" else rate)
    assert len(samples) / found == pytest.approx(1.0, abs=0.02)
    assert np.argmax(np.abs(np.fft.rfft(samples))) / len(samples) * found == pytest.approx(440, abs=2)
    if form == "flac":
        assert np.abs(samples - tone).max() < 1e-4
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_loud_samples_are_clipped_and_not_wrapped(tmp_path: Path) -> None:
    write_clip(tmp_path, Cut(stored(), "a.flac", np.full(3200, 1.5, dtype=np.float32), RATE, None))
    assert soundfile.read(tmp_path / FOLDER / "a.flac")[0].min() > 0.99


@pytest.mark.parametrize("text", ["../../x", "/etc/passwd", "$(touch x)", "a\nb", "..", "=1+1", "<b>", "é", ""])
def test_no_label_or_stream_breaks_out_of_the_folder(tmp_path: Path, text: str) -> None:
    name = clip_name(stored(id=text, label=text, stream=text), "flac")
    assert (tmp_path / name).resolve().is_relative_to(tmp_path)
    assert name.count("/") == 1
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/.")


def test_privacy_that_is_switched_on_holds_for_a_clip_that_is_planned() -> None:
    bench = Bench(pre_ms=200, post_ms=200)
    bench.tell(60, None, stage="open")
    bench.hear(70)
    private = Clipper(
        ClipsConfig(enabled=True, privacy="drop", pre_ms=200, post_ms=200, privacy_margin_ms=0),
        {"mic": ClipSource(bench.ring, RATE, ("birds", "vad"))},
        LABELS,
    )
    private.follow(bench.clipper)
    bench.clipper = private
    bench.tell(60, 80)
    assert bench.hear(200) == [], "what nobody judged by these settings counts as speech"
    assert [cut.event.onset_frame for cut in (bench.event(250, 260), bench.hear(400))[1]] == [250]
