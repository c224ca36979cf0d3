"""Pieces of sinks that need no receiver: what is sent, and where it may go."""

import json
import struct

import pytest

from streamclf.alerts.sinks.body import iso, json_of, text_of, title_of
from streamclf.alerts.sinks.mqtt import level
from streamclf.alerts.sinks.osc import message
from streamclf.network import allowed
from tests.support.alerts import AT_NS, make_alert


def test_the_body_says_what_was_heard_when_and_why() -> None:
    alert = make_alert(message="a bird\x07")
    told = json.loads(json_of(alert))

    assert json_of(alert) == json_of(alert)
    assert b"\n" not in json_of(alert)
    assert told["type"] == "streamclf.alert"
    assert told["data"]["onset"] == "2026-05-01T04:31:07.120Z"
    assert told["data"]["id"] == alert.id
    assert told["data"]["event"]["level_db"] == -31.5
    assert told["data"]["gates"][0]["text"] == "blackbird peak 0.75 >= 0.50"
    assert told["data"]["streams"][0]["name"] == "garden"


def test_what_people_read_has_no_control_characters_and_a_test_says_so() -> None:
    assert text_of(make_alert(message="a\r\nb\x1b[31m\u202ec\u2028d")) == "a b [31m c d"
    assert text_of(make_alert(message="x" * 3000)) == "x" * 1999 + "…"
    assert title_of(make_alert(test=True)).startswith("TEST ")
    assert iso(AT_NS) == "2026-05-01T04:31:07.120Z"


@pytest.mark.parametrize(
    ("address", "public", "private"),
    [
        ("93.184.215.14", True, True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True, True),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("192.168.1.20", False, True),
        ("10.0.0.1", False, True),
        ("fd00::1", False, True),
        ("::ffff:192.168.1.20", False, True),
        ("::ffff:93.184.215.14", True, True),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("fe80::1%eth0", False, False),
        ("2002:a9fe:a9fe::1", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("100.64.0.1", False, True),
        # NAT64: what the gateway connects to is what counts
        ("64:ff9b::5db8:d70e", True, True),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("64:ff9b::7f00:1", False, True),
        ("64:ff9b::a00:1", False, True),
        ("64:ff9b:1::a9fe:a9fe", False, False),  # of a network's own prefix: where the IPv4 address is, is unknown
        ("64:ff9b:1::5db8:d70e", False, False),
        # IPv4-compatible, and IPv4-translated
        ("::127.0.0.1", False, False),
        ("::169.254.169.254", False, False),
        ("::93.184.215.14", False, False),
        ("::ffff:0:127.0.0.1", False, False),
        # IPv4-mapped
        ("::ffff:127.0.0.1", False, True),
        ("::ffff:0.0.0.0", False, False),
        ("::ffff:224.0.0.1", False, False),
        ("::ffff:100.100.100.200", False, False),
        # 6to4, Teredo, ISATAP
        ("2002:5db8:d70e::1", True, True),
        ("2002:7f00:1::1", False, True),
        ("2002:c0a8:114::1", False, True),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False, False),
        ("2001:0:4136:e378:8000:63bf:5601:5601", False, False),
        ("2606:2800::5efe:192.168.1.20", False, True),
        ("2606:2800::200:5efe:169.254.169.254", False, False),
        # site-local, multicast, discard, documentation, benchmarking, reserved
        ("fec0::1", False, False),
        ("feff::1", False, False),
        ("ff02::1", False, False),
        ("ff0e::1", False, False),
        ("100::1", False, False),
        ("2001:db8::1", False, False),
        ("4000::1", False, False),
        ("0.1.2.3", False, False),
        ("192.0.2.1", False, False),
        ("192.0.0.192", False, False),
        ("192.88.99.1", False, False),
        ("3fff::1", False, False),
        ("198.18.0.1", False, False),
        ("239.1.2.3", False, False),
        ("240.0.0.1", False, False),
        ("255.255.255.255", False, False),
        # metadata services that are not link-local
        ("fd00:ec2::254", False, False),
        ("fd20:ce::254", False, False),
        ("100.100.100.200", False, False),
        ("168.63.129.16", False, False),
        ("fd00:ec2::253", False, True),
    ],
)
def test_where_a_webhook_may_go(address: str, public: bool, private: bool) -> None:
    assert (allowed(address, private=False), allowed(address, private=True)) == (public, private)


def test_a_label_stays_one_level_of_a_topic_and_two_labels_stay_two() -> None:
    assert level("blackbird") == "blackbird"
    hostile = ["a/#", "a/+", "a__", "$(x)", "../x", "a b", "ä" * 99]
    safe = [level(text) for text in hostile]
    assert len(set(safe)) == len(hostile)
    assert all(set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-x") for text in safe)


def test_an_osc_message_is_laid_out_in_words_of_four_bytes() -> None:
    data = message("/bird", make_alert(rule="a\0b"))
    parts = [part for part in data[: data.rindex(b"ab")].split(b"\0") if part]

    assert len(data) % 4 == 0
    assert parts == [b"/bird", b",ssssff", b"blackbird", b"garden", b"open"]
    assert data[-12:-8] == b"ab\0\0"
    assert struct.unpack(">2f", data[-8:]) == pytest.approx((0.75, 0.1))
