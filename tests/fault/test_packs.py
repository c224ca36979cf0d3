"""Packs that raise, hang or give NaN: the real model thread, real graphs, real time. The others hear on."""

import threading
from pathlib import Path

import pytest

from streamclf import metrics
from streamclf.engine import making
from streamclf.types import GapReason, StreamState
from tests.support.sick import QUIET, TOO_LOUD, Clinic
from tools.lab.sickpack import Sickness, sick_encoder_pack, sick_pack
from tools.lab.tinypack import fused_pack, stateful_pack

PROBLEM, BACK = StreamState.PACK_PROBLEM, StreamState.PACK_BACK


def clinic(tmp_path: Path, sickness: Sickness, *, names: tuple[str, ...] = ("mic",), alone: bool = False) -> Clinic:
    packs = [sick_pack(tmp_path / "sick", sickness)]
    if not alone:
        packs.append(stateful_pack(tmp_path / "healthy", name="healthy"))
    return Clinic(packs, names)


@pytest.mark.parametrize(
    ("sickness", "words"),
    [(Sickness.RAISES, "a run failed"), (Sickness.LOOPS, "was broken off"), (Sickness.NAN, "NaN")],
)
def test_a_pack_that_fails_is_told_and_comes_back_and_the_others_hear_on(
    tmp_path: Path, sickness: Sickness, words: str
) -> None:
    with clinic(tmp_path, sickness, names=("mic", "yard")).open() as ward:
        ward.heard(0.5)
        ward.level["yard"] = TOO_LOUD
        ward.until(lambda: ward.of_pack()[:1] == [PROBLEM], "the failure was not told")
        ward.level["yard"] = QUIET
        ward.until(lambda: ward.of_pack()[-1] is BACK, "the pack did not come back")
        before = len(ward.frames("sick"))
        ward.until(lambda: len(ward.frames("sick")) > before + 20, "the pack gives no rows")
    assert ward.stopped
    assert words in next(s.detail for s in ward.statuses() if s.state is PROBLEM)
    assert not any(ward.missing(name) for name in ward.rings)
    sick = ward.frames("sick", "yard")
    assert sick != list(range(len(sick))), "rows of what was not heard"
    assert not ward.of_stream("yard"), "another pack scores it all the time"


@pytest.mark.parametrize(
    ("sickness", "words"),
    [
        (Sickness.RAISES, "a run failed"),
        (Sickness.LOOPS, "was broken off"),
        (Sickness.STICKS, "could not be broken off"),
        (Sickness.NAN, "NaN"),
    ],
)
def test_an_encoder_that_fails_is_the_same(tmp_path: Path, sickness: Sickness, words: str) -> None:
    packs = [sick_encoder_pack(tmp_path / "s", sickness), stateful_pack(tmp_path / "h", name="healthy")]
    with Clinic(packs).open() as ward:
        ward.until(lambda: len(ward.frames("sick")) > 20, "the pack gives no rows")
        ward.level["mic"] = TOO_LOUD
        ward.until(lambda: ward.of_pack()[:1] == [PROBLEM], "the failure was not told")
        ward.level["mic"] = QUIET
        ward.until(lambda: ward.of_pack()[-1] is BACK, "the pack did not come back")
        before = len(ward.frames("sick"))
        ward.until(lambda: len(ward.frames("sick")) > before + 20, "the pack gives no rows any more")
    assert words in next(s.detail for s in ward.statuses() if s.state is PROBLEM)
    assert not ward.missing()
    assert len(set(ward.frames("sick"))) == len(ward.frames("sick")), "a row was given twice"


@pytest.mark.parametrize(
    ("sickness", "words"),
    [(Sickness.STICKS, "could not be broken off"), (Sickness.NAN, "NaN")],
)
def test_a_member_that_fails_is_a_failure_of_its_pack(tmp_path: Path, sickness: Sickness, words: str) -> None:
    members = {"well": stateful_pack(tmp_path / "well"), "ill": sick_encoder_pack(tmp_path / "ill", sickness)}
    packs = [fused_pack(tmp_path / "s", name="sick", members=members), stateful_pack(tmp_path / "h", name="healthy")]
    with Clinic(packs).open() as ward:
        ward.until(lambda: len(ward.frames("sick")) > 20, "the pack gives no rows")
        ward.level["mic"] = TOO_LOUD
        ward.until(lambda: ward.of_pack() == [PROBLEM], "the failure was not told")
        ward.level["mic"] = QUIET
        ward.until(lambda: ward.of_pack()[-1] is BACK, "the pack did not come back")
        before = len(ward.frames("sick"))
        ward.until(lambda: len(ward.frames("sick")) > before + 20, "the pack gives no rows any more")
    assert words in next(s.detail for s in ward.statuses() if s.state is PROBLEM)
    assert not ward.missing()
    assert {s.pack for s in ward.statuses() if s.pack} <= {"sick", "healthy"}, "a member was told of"
    assert len(set(ward.frames("sick"))) == len(ward.frames("sick")), "a row was given twice"


@pytest.mark.parametrize("sickness", [Sickness.RAISES, Sickness.STICKS])
def test_a_stream_that_ends_while_a_pack_fails_has_its_last_rows(tmp_path: Path, sickness: Sickness) -> None:
    ended = threading.Event()
    with clinic(tmp_path, sickness, names=("mic", "yard")).open() as ward:
        ward.heard(0.5)
        ward.level["mic"] = TOO_LOUD
        ward.heard_by("mic", 0.1)
        ward.end("mic", ended.set)
        ward.until(ended.is_set, "the stream did not end")
        ward.until(lambda: bool(ward.of_pack()), "the failure was not told")
        ward.until(lambda: ward.of_pack()[-1] is BACK, "the pack did not come back")
    assert ward.frames("healthy", "mic")[-1] == ward.rings["mic"].written // 320 - 1
    assert not any(ward.missing(name) for name in ward.rings)
    assert ward.of_stream()[-1] is StreamState.ENDED


def test_a_run_that_cannot_be_ended_is_left_behind(tmp_path: Path) -> None:
    with clinic(tmp_path, Sickness.STICKS).open() as ward:
        ward.heard(0.5)
        ward.level["mic"] = TOO_LOUD
        ward.until(lambda: ward.of_pack()[:1] == [PROBLEM], "the hang was not told")
        ward.level["mic"] = QUIET
        ward.heard(0.5)
        assert ward.of_pack() == [PROBLEM], "no second run hangs while the first goes on"
        ward.until(lambda: ward.of_pack()[-1] is BACK, "the pack did not come back")
        before = len(ward.frames("sick"))
        ward.until(lambda: len(ward.frames("sick")) > before + 20, "the pack gives no rows")
    assert ward.stopped, "the run that was left behind has ended meanwhile"
    told = next(s.detail for s in ward.statuses() if s.state is PROBLEM)
    assert "could not be broken off" in told
    assert "when that run has ended" in told
    assert not ward.missing()
    assert len(set(ward.frames("sick"))) == len(ward.frames("sick")), "a row was given twice"


def test_a_pack_that_fails_again_and_again_is_put_aside(tmp_path: Path) -> None:
    with clinic(tmp_path, Sickness.RAISES).open() as ward:
        ward.level["mic"] = TOO_LOUD
        ward.until(lambda: "put aside" in ward.statuses()[-1].detail if ward.statuses() else False, "it is still tried")
        ward.level["mic"] = QUIET
        tries = ward.of_pack().count(PROBLEM)
        ward.heard(1.0)
        assert ward.of_pack()[-1] is PROBLEM, "it was tried again"
    assert tries == 5
    assert not ward.missing()


@pytest.mark.parametrize("sickness", [Sickness.RAISES, Sickness.NAN])
def test_a_stream_that_no_pack_scores_says_so_and_has_a_gap(tmp_path: Path, sickness: Sickness) -> None:
    with clinic(tmp_path, sickness, alone=True).open() as ward:
        ward.until(lambda: len(ward.frames("sick")) > 20, "nothing is scored")
        ward.level["mic"] = TOO_LOUD
        ward.until(lambda: ward.of_stream()[-1:] == [StreamState.UNSCORED], "it was not told that nothing scores it")
        ward.level["mic"] = QUIET
        ward.until(lambda: ward.of_stream()[-1] is StreamState.LIVE, "it is not live again")
        before = len(ward.frames("sick"))
        ward.until(lambda: len(ward.frames("sick")) > before + 20, "the pack gives no rows")
    missed = [frame for gap in ward.gaps() for frame in range(gap.first_sample // 320, gap.last_sample // 320 + 1)]
    assert {gap.reason for gap in ward.gaps()} == {GapReason.UNSCORED}
    heard = ward.frames("sick")
    assert sorted(heard + missed) == list(range(len(heard) + len(missed))), "each frame has a row or is in a gap"


def test_first_runs_that_never_end_put_the_pack_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "MOST_S", 1.5)
    packs = [sick_pack(tmp_path / "s", Sickness.LOOPS, above=-1), stateful_pack(tmp_path / "h", name="healthy")]
    with Clinic(packs, started=False).open() as ward:
        ward.until(lambda: ward.of_pack("healthy")[-1:] == [BACK], "the pack that works did not join")
        ward.until(lambda: len(ward.of_pack()) >= 2, "the first run is still waited for")
        ward.heard(0.5)
    assert ward.stopped
    told = [s.detail for s in ward.statuses() if s.pack == "sick"]
    assert "has not ended yet" in told[0]
    assert "does not end; it is put aside" in told[1]
    assert metrics.sums(metrics.PACK_FAILURES, "pack", "kind")["sick\nmaking"] >= 1
