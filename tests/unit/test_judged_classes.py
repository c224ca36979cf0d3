"""Which labels of a pack answer which class, and what a recording holds: by whole words."""

import pytest

from streamclf.types import Label
from tools.evaluate_everyday.classes import answered, answers_of, holds, judged_classes, truth_of, words


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ("crow", "crowd"),
        ("owl", "howl"),
        ("owl", "fowl"),
        ("rain", "train"),
        ("cat", "cattle"),
        ("bell", "doorbell"),
        ("bell", "bellow"),
        ("bang", "banging"),
        ("horn", "hornet"),
    ],
)
def test_a_word_within_another_is_not_that_word(inside: str, outside: str) -> None:
    assert not holds(words(outside), words(inside))
    assert inside not in answered(outside)
    assert inside in answered(f"{inside} or another")


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        ("crowd", {"crowd"}),
        ("howl", {"wolf"}),
        ("train", {"train"}),
        ("Crow", {"crow"}),
        ("Crows", {"crow"}),
        ("Fire alarm", {"alarm", "smoke_alarm"}),
        ("Fire engine, fire truck (siren)", {"siren"}),
        ("Vehicle horn, car horn, honking", {"horn"}),
        ("Keyboard (musical)", set()),
        ("Wind instrument, woodwind instrument", set()),
        ("Machine gun", {"bang"}),
        ("Water tap, faucet", {"water"}),
        ("Railroad car, train wagon", {"train"}),
        ("Roaring cats (lions, tigers)", {"wild"}),
        ("Alarm, siren, bell or phone", {"alarm", "siren", "bell", "phone"}),
        ("car_horn", {"horn"}),
        ("door_knock", {"knock"}),
    ],
)
def test_a_label_answers_what_its_words_say(label: str, classes: set[str]) -> None:
    assert answered(label) == classes


def test_a_kind_and_a_group_answer_what_is_above_them() -> None:
    answers = answers_of(
        [
            Label("owl", "Owl", "bird"),
            Label("thrush", "Thrush", "bird"),
            Label("doorbell", "Doorbell", "alarm"),
            Label("noise", "Rain", hidden=True),
        ]
    )
    assert answers.columns("bird") == [0, 1]
    assert answers.columns("owl") == [0]
    assert answers.columns("alarm") == answers.columns("doorbell") == [2]
    assert answers.columns("rain") == []


def test_where_a_class_begins_and_ends_its_own_label_says() -> None:
    answers = answers_of([Label("shout", "Shout", "voice"), Label("speech", "Speech", "voice")])
    assert answers.columns("speech") == [0, 1]
    assert answers.named("speech") == [1]
    only_kinds = answers_of([Label("shout", "Shout", "voice"), Label("talk", "People talking", "voice")])
    assert only_kinds.named("speech") == [0, 1]


def test_what_is_right_wrong_or_not_judged() -> None:
    owl = truth_of("owl", "owl/x__tawny.opus")
    assert owl.own == {"owl", "bird"}
    assert owl.judge(frozenset({"bird"})) is True
    assert owl.judge(frozenset({"alarm"})) is False
    assert owl.judge(frozenset()) is None
    rain = truth_of("rain", "rain/x__rain.opus")
    assert rain.judge(frozenset({"thunder"})) is None
    assert rain.judge(frozenset({"train"})) is False


@pytest.mark.parametrize(
    ("label", "file", "leaf"),
    [
        ("alarm", "alarm/a__doorbell.opus", "doorbell"),
        ("alarm", "alarm/a__church-bells-01.opus", "bell"),
        ("alarm", "alarm/a__carhorn.opus", "horn"),
        ("alarm", "alarm/a__alarm2.opus", "alarm"),
        ("wild", "wild/a__wolf-howl.opus", "wolf"),
        ("wild", "wild/a__howler-monkey-1.opus", "wild"),
        ("other", "other/a__laugh1.opus", "laughter"),
        ("other", "other/a__whoosh1.opus", ""),
        ("background", "background/a__city.opus", ""),
    ],
)
def test_the_name_of_a_file_makes_a_label_finer(label: str, file: str, leaf: str) -> None:
    assert truth_of(label, file).leaf == leaf


def test_one_label_for_two_classes_is_not_wrong_about_the_other() -> None:
    bell, dog = truth_of("alarm", "a__church-bell.opus"), truth_of("dog", "a__dog.opus")
    coarse = answers_of([Label("alarm", "Alarm, bell or phone")])
    fine = answers_of([Label("phone", "Phone"), Label("bell", "Bell")])
    assert not coarse.is_negative("phone", bell)
    assert fine.is_negative("phone", bell)
    assert coarse.is_negative("phone", dog)


def test_the_tables_name_classes_that_are_there() -> None:
    classes = judged_classes()
    assert len(classes) > 40
    for one in classes.values():
        assert one.also <= set(classes)
        assert one.within in {"", *classes}
        assert one.phrases or one.groups
