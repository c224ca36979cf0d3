"""The live view without a terminal: what it shows, how calm it is, and that it fits any screen."""

import msgspec
import numpy as np
import pytest
from rich.cells import cell_len

from streamclf.commands.liveboard import Board, Meter
from streamclf.commands.liveview import LiveView
from streamclf.protocol import wire
from streamclf.serve.hub import Hub
from streamclf.types import F32, Gap, Label, Output, Stage, Status, StreamState
from tests.support.serving import EPOCH_NS, LABELS, Collector, event, make_hub, publish, scores, stream_info

MS = 1_000_000
NAMES = {f"l{i}": f"Label {i}" for i in range(12)}


def rows(frames: int = 5, **levels: float) -> F32:
    """(frames, 12): zeros but for the labels named."""
    values = np.zeros((frames, len(NAMES)), np.float32)
    for label, level in levels.items():
        values[:, int(label[1:])] = level
    return values


def feed(meter: Meter, values: F32) -> None:
    meter.take(list(NAMES), values, age_ms=50.0)


def shown(meter: Meter, count: int = 4) -> list[str]:
    return [bar.name for bar in meter.bars(count)]


# A meter


def test_a_level_rises_at_once_and_falls_by_half_in_four_tenths_of_a_second() -> None:
    meter = Meter(NAMES)

    feed(meter, rows(1, l3=0.8))
    assert meter.bars(4)[0].level == pytest.approx(0.8)

    feed(meter, rows(20))
    assert meter.bars(4)[0].level == pytest.approx(0.4)


def test_the_best_labels_have_lines_and_the_faint_ones_none() -> None:
    meter = Meter(NAMES)

    feed(meter, rows(l1=0.3, l5=0.9, l7=0.05, l9=0.6))

    assert shown(meter) == ["Label 5", "Label 9", "Label 1"]


def test_lines_keep_their_places_while_levels_differ_little() -> None:
    meter = Meter(NAMES)
    feed(meter, rows(l1=0.6, l2=0.5))
    assert shown(meter) == ["Label 1", "Label 2"]

    for step in range(40):
        feed(meter, rows(l1=0.5 + 0.05 * (step % 2), l2=0.55 - 0.05 * (step % 2)))
        assert shown(meter) == ["Label 1", "Label 2"]


def test_a_label_that_is_clearly_better_moves_up_and_takes_the_worst_line() -> None:
    meter = Meter(NAMES)
    feed(meter, rows(l1=0.5, l2=0.4, l3=0.3, l4=0.2))
    assert shown(meter) == ["Label 1", "Label 2", "Label 3", "Label 4"]

    for _ in range(50):
        feed(meter, rows(l1=0.5, l2=0.4, l3=0.3, l4=0.2, l8=0.95))
        shown(meter)

    assert shown(meter)[0] == "Label 8"
    assert "Label 4" not in shown(meter)


def test_a_label_leaves_when_it_has_been_quiet_for_some_seconds() -> None:
    meter = Meter(NAMES)
    feed(meter, rows(50, l1=0.9))
    assert shown(meter) == ["Label 1"]

    feed(meter, rows(50))
    assert shown(meter) == ["Label 1"], "a second of quiet does not blank a line"

    feed(meter, rows(500))
    assert shown(meter) == []


def test_a_label_with_an_open_event_has_a_line_whatever_its_level() -> None:
    meter = Meter(NAMES)
    meter.active.add("l11")

    feed(meter, rows(l1=0.9, l2=0.8, l3=0.7, l4=0.6))

    assert shown(meter)[0] == "Label 11"
    assert meter.bars(4)[0].active


def test_a_pack_of_few_labels_shows_them_all_in_its_own_order() -> None:
    meter = Meter({"a": "Alpha", "b": "Beta"})

    meter.take(["a", "b"], np.array([[0.0, 0.9]], np.float32), age_ms=0.0)

    assert shown(meter) == ["Alpha", "Beta"]


def test_labels_that_are_not_to_be_shown_are_not() -> None:
    meter = Meter({"b": "Beta"})

    meter.take(["a", "b"], np.array([[0.9, 0.3]], np.float32), age_ms=0.0)

    assert [tuple(bar) for bar in meter.bars(4)] == [("Beta", pytest.approx(0.3), False)]


def test_the_least_probability_hides_faint_bars() -> None:
    meter = Meter(NAMES, min_prob=0.5)

    feed(meter, rows(l1=0.9, l2=0.4))

    assert shown(meter) == ["Label 1"]


# The board and its picture


def board_of(hub: Hub, *outputs: Output, board: Board | None = None, now_s: float = 0.0, **wish: object) -> Board:
    """A board that saw `hello`, the subscription and everything published. Its wall time is just behind the sound."""
    board = board or Board()
    sink = Collector()
    answers = hub.subscribe(sink, wire.Subscribe(tier="frame", **wish)).answers  # type: ignore[arg-type]
    messages: list[wire.ServerMessage] = [hub.hello(), *answers]  # type: ignore[list-item]
    publish(hub, *outputs)
    messages += [wire.decode_server(msgspec.json.encode(message)) for message in sink.messages]
    for message in messages:
        newest = message.captured_ns if isinstance(message, wire.Scores) else EPOCH_NS
        board.take(message, now_ns=newest + 130 * MS, now_s=now_s)
    return board


def picture(board: Board, width: int = 100, height: int = 40, now_s: float = 0.0) -> str:
    view = LiveView(board, "ws://127.0.0.1:8765/v1")
    return "\n".join(line.plain for line in view.lines(width, height, now_s=now_s, now="12:00:00"))


def test_it_shows_streams_levels_names_and_the_age_of_a_row() -> None:
    board = board_of(make_hub(streams=["mic"]), scores(0, [0.1, 0.82, 0.3, 0.99]))

    text = picture(board)

    assert "mic  live" in text
    assert "file:mic.wav" in text
    assert "big runs every 20 ms, 130 ms after the sound" in text
    assert any("Dog" in line and line.rstrip().endswith("82 %") for line in text.splitlines())


def test_the_self_test_takes_no_room_unless_it_alone_is_asked_for() -> None:
    def hub() -> Hub:
        made = make_hub(streams=["mic", "self-test"])
        made.streams["self-test"].test = True
        return made

    heard: list[Output] = [event(1, stream="mic"), event(2, stream="self-test"), scores(0, stream="self-test")]
    text = picture(board_of(hub(), *heard))
    assert "mic  live" in text
    assert "self-test" not in text
    assert "self-test" in picture(board_of(hub(), *heard, streams=["self-test"]))


def test_labels_too_generic_to_show_are_shown_only_when_asked_for_by_name() -> None:
    row = scores(0, [0.1, 0.2, 0.3, 0.99])

    assert "Inside" not in picture(board_of(make_hub(streams=["mic"]), row))
    named = board_of(make_hub(streams=["mic"]), row, board=Board(named=True), labels=["inside"])
    assert "Inside, small room" in picture(named)


def test_an_event_is_listed_while_it_lasts_and_afterwards() -> None:
    hub = make_hub()
    board = board_of(hub, *(scores(frame) for frame in range(35)), event(1))
    opened = next(line for line in picture(board).splitlines() if "peak" in line)
    assert "●" in opened
    assert "Dog" in opened
    assert "0.50 s" in opened  # from frame 10 to the newest, 35
    assert "mic" in opened

    board = board_of(hub, event(1, stage=Stage.CLOSE), board=board)
    closed = [line for line in picture(board).splitlines() if "peak" in line]
    assert len(closed) == 1
    assert "●" not in closed[0]
    assert "0.80 s" in closed[0]


def test_the_demo_is_announced_loudly() -> None:
    hub = Hub(streams=[stream_info("garden", demo=True)], packs=list(make_hub().packs.values()))

    assert "DEMO" not in picture(board_of(make_hub()))
    assert "DEMO  A recording plays in a loop (garden). This is NOT" in picture(board_of(hub))
    assert "DEMO" in picture(board_of(hub), width=30)


def test_gaps_in_a_row_grow_one_line() -> None:
    board = board_of(make_hub(), *(Gap("mic", at, at + 1599, "xrun") for at in (0, 3200, 9600)))

    assert [line.split()[1:] for line in picture(board).splitlines() if " gap " in line] == [
        ["gap", "0.30", "s", "xrun", "mic"]
    ]


def test_what_was_missed_is_told() -> None:
    board = board_of(make_hub())
    lagged = wire.Lagged(seq=60, from_seq=11, to_seq=60, dropped=25, reason="mailbox")

    board.take(lagged, now_ns=EPOCH_NS, now_s=0.0)

    assert "missed  25 score rows" in picture(board)


def test_a_lost_stream_says_so_and_has_no_levels() -> None:
    board = board_of(
        make_hub(streams=["mic"]), scores(0, [0.9] * 4), Status("mic", StreamState.LOST, "the microphone was unplugged")
    )

    text = picture(board)

    assert "mic  lost  the microphone was unplugged" in text
    assert "90 %" not in text


def test_a_stream_that_falls_silent_without_a_word_says_so_and_has_no_levels() -> None:
    board = board_of(make_hub(streams=["mic"]), scores(0, [0.9] * 4), now_s=100.0)
    assert "90 %" in picture(board, now_s=102.0)

    text = picture(board, now_s=107.0)

    assert "nothing has come for 7.0 s" in text
    assert "90 %" not in text


def test_a_lost_connection_says_why_and_leaves_no_level_standing() -> None:
    board = board_of(make_hub(streams=["mic"]), scores(0, [0.9] * 4))

    board.wait("nothing answers at ws://birds.local:8765/v1 (Connection refused); is `streamclf run` up there?")

    text = picture(board)
    assert "no connection, trying again" in text
    assert "Connection refused" in text
    assert " %" not in text


def test_a_restarted_daemon_leaves_no_event_open() -> None:
    board = board_of(make_hub(), event(1))
    again = make_hub()
    again.instance = "second"

    board = board_of(again, board=board)

    text = picture(board)
    assert "restarted" in text
    assert "● 1" not in text
    assert "no connection" not in text


def test_a_new_hop_is_shown_with_its_pack() -> None:
    board = board_of(make_hub(), Status("", StreamState.HOP, "big runs every 200 ms", pack="big"))

    assert "big runs every 200 ms" in picture(board)
    assert "big runs every 20 ms" not in picture(board)


HOSTILE = "[red]x[/red]\x1b[31m\x07\u202e\x9b2J\nnew 日本語 🐦"


@pytest.mark.parametrize("many", [1, 3, 30])
def test_it_fits_every_screen_whatever_the_names(many: int) -> None:
    labels = [Label(f"l{i}", f"{HOSTILE} {i}", HOSTILE) for i in range(4)]
    streams = [f"{HOSTILE} {i}" for i in range(many)]
    hub = make_hub(labels=labels, streams=streams)
    outputs: list[Output] = [
        output for name in streams for output in (scores(0, [0.9] * 4, stream=name), event(1, stream=name))
    ]
    outputs += [Gap(streams[0], 0, 99, HOSTILE), Status(streams[-1], StreamState.LOST, HOSTILE)]
    board = board_of(hub, *outputs)
    view = LiveView(board, "ws://127.0.0.1:8765/v1")

    for width in (1, 2, 7, 20, 40, 80, 200):
        for height in (1, 2, 3, 5, 10, 24, 60):
            lines = view.lines(width, height, now_s=0.0, now="12:00:00")
            assert len(lines) == height
            for line in lines:
                line.truncate(width, overflow="ellipsis")
                assert cell_len(line.plain) <= width
                assert line.plain.isprintable()


def test_hostile_names_are_shown_as_they_are_written() -> None:
    labels = [Label("l0", "[red]x[/red]\x1b[31m"), *LABELS[1:]]

    text = picture(board_of(make_hub(labels=labels, streams=["mic"])))

    assert "[red]x[/red]\\x1b[31m" in text
