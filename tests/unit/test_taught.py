"""What was taught, in the engine: a row for every frame of its host, other labels in the middle, moments to be kept."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from streamclf.audio.ring import Ring
from streamclf.engine.batch import PackRunner
from streamclf.engine.embed import Embedder, hosts_of, identity_of
from streamclf.engine.engine import Engine
from streamclf.engine.heads import Heads
from streamclf.engine.stream import Stream
from streamclf.engine.taughtpack import TaughtPack, heard_in
from streamclf.model.activation import normalised
from streamclf.model.fusedsession import open_session
from streamclf.model.loader import load_pack
from streamclf.model.pack import Pack
from streamclf.teach.sound import numbers_of
from streamclf.types import F32, Event, FrameScores, Label, OtherLabels, Output, Stage
from tests.support.tones import HOP, RATE, TONES, hiss, tone, tone_pack

A, B = Label("a", "A", "taught", 0.5), Label("b", "B", "taught", 0.5)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return load_pack(tone_pack(tmp_path_factory.mktemp("packs") / "tones"))


class Room:
    """An engine with one stream, and what is taught on it."""

    def __init__(self, pack: Pack, hop_frames: int = 3) -> None:
        runner = PackRunner(pack, open_session(pack))
        runner.set_hop(hop_frames)
        self.engine = Engine([runner])
        self.ring = Ring(4 * RATE)
        self.engine.add(Stream("mic", rate=RATE, ring=self.ring))
        (host,) = hosts_of([pack])
        self.taught = TaughtPack(self.engine, host)
        self.outputs: list[Output] = []

    def hear(self, sound: F32, block: int = 700) -> None:
        for at in range(0, len(sound), block):
            self.ring.write(sound[at : at + block])
            self.outputs += self.engine.drain()

    def rows(self, name: str = "taught") -> dict[int, F32]:
        found: dict[int, F32] = {}
        for output in self.outputs:
            if isinstance(output, FrameScores) and output.pack == name:
                for at, row in enumerate(output.rows):
                    assert output.first_frame + at not in found, "a frame was told twice"
                    found[output.first_frame + at] = row
        return found


def heads(labels: Sequence[str], seed: int = 0) -> Heads:
    weights = np.random.default_rng(seed).standard_normal((TONES + 1, len(labels))) * 4
    return Heads(labels, weights.astype(np.float32))


def test_a_class_has_a_row_for_every_frame_of_its_host_and_it_is_the_head_on_that_runs_embedding(pack: Pack) -> None:
    sound = np.concatenate([hiss(0.5), tone(800, 0.6), hiss(0.4, seed=1), tone(2500, 0.3)])
    room, own = Room(pack, hop_frames=1), heads("ab")
    told = room.taught.use(own, [A, B])
    assert [type(one) for one in told] == [OtherLabels]

    room.hear(sound)
    room.outputs += room.engine.finish("mic")

    host, taught = room.rows("tones"), room.rows()
    assert list(taught) == list(host)
    frames, embedded = Embedder(pack, hop_frames=1)(sound, RATE)
    expected = dict(zip(frames.tolist(), own(embedded), strict=True))
    shared = [frame for frame in taught if frame in expected and frame > 12]
    assert len(shared) > 60
    for frame in shared:
        np.testing.assert_allclose(taught[frame], expected[frame], atol=1e-4)


def test_what_is_taught_in_the_middle_begins_with_the_next_run_and_no_frame_comes_twice(pack: Pack) -> None:
    room = Room(pack)
    room.hear(hiss(1.0))
    assert room.rows() == {}
    room.outputs += room.taught.use(heads("a"), [A])
    room.hear(hiss(1.0))
    first = len(room.rows())
    room.outputs += room.taught.use(heads("ab"), [A, B])
    room.hear(hiss(1.0))
    room.outputs += room.taught.use(heads("b", seed=1), [B])
    room.hear(hiss(1.0))

    widths = [len(row) for _, row in sorted(room.rows().items())]
    assert 40 <= first <= 51
    assert widths == sorted(widths[: widths.index(2)]) + [2] * widths.count(2) + [1] * (
        len(widths) - widths.index(2) - widths.count(2)
    )
    labels = [[label.id for label in one.labels] for one in room.outputs if isinstance(one, OtherLabels)]
    assert labels == [["a"], ["a", "b"], ["b"]]


def test_a_refit_keeps_the_labels_and_says_nothing(pack: Pack) -> None:
    room = Room(pack)
    room.taught.use(heads("a"), [A])
    room.hear(hiss(0.6))

    assert room.taught.use(heads("a", seed=3), [A]) == []


def test_its_events_close_where_the_labels_change(pack: Pack) -> None:
    room = Room(pack)
    always = np.zeros((TONES + 1, 1), dtype=np.float32)
    always[-1] = 5
    room.taught.use(Heads("a", always), [A])
    room.hear(hiss(1.5))
    closed = room.taught.use(heads("b"), [B])

    assert [(e.label, e.stage, e.ended_by) for e in closed if isinstance(e, Event)] == [("a", Stage.CLOSE, "changed")]
    assert isinstance(closed[-1], OtherLabels)


def test_an_event_and_a_moment_now_and_then_are_given_to_be_kept(pack: Pack) -> None:
    room = Room(pack)
    remembered = []
    for sound in (hiss(2.0), tone(800, 0.5), hiss(14.0), tone(3000, 0.5), hiss(14.0, seed=2)):
        before = len(room.outputs)
        room.hear(sound)
        remembered += room.taught.remember(room.outputs[before:])

    low, high = [one for one in remembered if one.event]
    by_chance = [one for one in remembered if not one.event]
    assert (low.label, low.stream, low.identity) == ("any", "mic", identity_of(pack))
    assert 1 <= len(by_chance) <= 6
    assert np.argmax(low.numbers) < np.argmax(high.numbers)
    assert low.frame in range(*heard_in(100, 125))


def test_what_was_heard_is_held_for_a_while(pack: Pack) -> None:
    room = Room(pack, hop_frames=1)
    room.hear(np.concatenate([hiss(1.0), tone(800, 1.0), hiss(1.0)]))
    recent = room.taught.recent["mic"]

    frames, numbers = recent.between(60, 95)

    assert np.all(np.diff(frames) >= 10)
    assert len(frames) >= 3
    assert set(np.argmax(numbers, axis=1).tolist()) == {int(np.argmax(numbers[0]))}
    assert len(recent.between(200, 300)[0]) == 0


def test_another_version_of_a_pack_is_another_identity(tmp_path: Path, pack: Pack) -> None:
    other = load_pack(tone_pack(tmp_path / "tones", gain=2.0))

    assert identity_of(other) != identity_of(pack)
    assert identity_of(load_pack(tone_pack(tmp_path / "again"))) == identity_of(pack)


def test_a_pack_without_an_embedding_is_no_host(tmp_path: Path) -> None:
    assert hosts_of([load_pack(tone_pack(tmp_path / "deaf", embedding=""))]) == []
    assert HOP == 320


def test_a_sound_shorter_than_the_window_is_an_example_of_all_windows_that_go_on_over_it(pack: Pack) -> None:
    """Live the sound is at the end of a window, in its middle and at its beginning."""
    short = tone(800, 0.1)
    window_s = pack.manifest.window / pack.manifest.rate
    assert len(short) / RATE < window_s, "the case tests nothing"

    rows = numbers_of(Embedder(pack, hop_frames=1), short, RATE)
    live = np.concatenate([hiss(window_s), short, hiss(window_s, seed=1)])
    frames, heard = Embedder(pack, hop_frames=1)(live, RATE)

    middle = heard[frames == int(window_s * 50) + int(50 * window_s / 2)]
    likeness = normalised(rows) @ normalised(middle).T
    assert len(rows) > 5
    assert likeness.max() > 0.95
