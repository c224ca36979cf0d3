"""Who may connect, and as whom: Host, Origin, token, login, bind."""

from dataclasses import replace

import pytest
from websockets.datastructures import Headers

from streamclf.errors import ConfigError
from streamclf.serve.http.access import Access, Refusal, ServerSettings, check_bind
from streamclf.serve.http.tokens import TOGETHER, TRIES
from streamclf.serve.roles import Caller, Role

TOKEN = "0123456789abcdef"
TOKENS = {Role.ADMIN: TOKEN, Role.AUDIO: "audio-0123456789", Role.LABELS: "labels-0123456789"}
SETTINGS = ServerSettings(token=TOKEN, audio_token=TOKENS[Role.AUDIO], labels_token=TOKENS[Role.LABELS])
OWN = ["127.0.0.1:8765"]


def shown(**headers: str) -> Headers:
    """What a request to 127.0.0.1:8765 shows. Names have _ for -; an empty value is not a header."""
    given = {name.replace("_", "-"): value for name, value in headers.items() if value}
    return Headers({"Host": "127.0.0.1:8765", **given})


def caller_of(headers: Headers, query: list[str]) -> Caller | Refusal:
    return Access(SETTINGS).caller_of(headers, query, peer="127.0.0.1", socket=False)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST", "[::1]:8765", "127.0.0.1", "birds.local:80", "localhost."]
)
def test_our_own_names_are_let_in(host: str) -> None:
    assert Access(ServerSettings(hosts=("Birds.local:8765",))).check_host([host]) is None


@pytest.mark.parametrize(
    "hosts",
    [["evil.example:8765"], ["localhost.evil.example"], ["192.168.1.5"], ["a b"], ["localhost:x"], [""], [], OWN * 2],
)
def test_a_foreign_name_is_not_as_with_dns_rebinding(hosts: list[str]) -> None:
    assert Access(ServerSettings()).check_host(hosts) is not None


def test_an_open_bind_is_reached_by_any_address_but_not_by_any_name() -> None:
    access = Access(ServerSettings(host="0.0.0.0", token=TOKEN))

    assert access.check_host(["192.168.1.5:8765"]) is None
    assert access.check_host(["[fe80::1]:8765"]) is None
    assert "server.hosts" in str(access.check_host(["rebound.example"]))


@pytest.mark.parametrize("origin", ["", "http://127.0.0.1:8765", "https://127.0.0.1:8765", "https://dash.example"])
def test_own_configured_and_absent_origins_may_connect(origin: str) -> None:
    access = Access(ServerSettings(origins=("https://DASH.example/",)))

    assert access.check_origin(shown(Origin=origin)) is None


def test_the_host_that_a_proxy_was_asked_for_is_our_own_too() -> None:
    headers = shown(Origin="https://birds.example", X_Forwarded_Host="Birds.example")

    assert Access(ServerSettings()).check_origin(headers) is None


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("https://evil.example", "origin https://evil.example may not connect; if it should"),
        ("http://127.0.0.1:9999", "server.origins"),
        ("https://dash.example.evil.example", "server.origins"),
        ("chrome-extension://127.0.0.1:8765", "server.origins"),
        ("null", "opened as a file"),
        ("file://", "opened as a file"),
        ("http://[", "names no web origin"),
        ("http://<b>", "names no web origin"),
        ("https://" + "long." * 100, "names no web origin"),
    ],
)
def test_a_foreign_origin_may_not(origin: str, said: str) -> None:
    refusal = Access(ServerSettings(origins=("https://dash.example",))).check_origin(shown(Origin=origin))

    assert said in str(refusal)
    assert "<" not in str(refusal)


def test_two_origins_are_none() -> None:
    headers = shown(Origin="http://127.0.0.1:8765")
    headers["Origin"] = "http://127.0.0.1:8765"

    assert Access(ServerSettings()).check_origin(headers) is not None


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": "Bearer {}"}, []),
        ({"Authorization": "bearer {}"}, []),
        ({"Sec_WebSocket_Protocol": "streamclf.v1, token.{}"}, []),
        ({}, ["{}"]),
        ({"Authorization": "Bearer wrong"}, ["{}"]),
    ],
)
@pytest.mark.parametrize("role", list(Role))
def test_a_token_may_come_in_three_ways_and_says_the_role(
    headers: dict[str, str], query: list[str], role: Role
) -> None:
    token = TOKENS[role]
    filled = shown(**{name: value.format(token) for name, value in headers.items()})

    assert caller_of(filled, [value.format(token) for value in query]) == Caller(role)


@pytest.mark.parametrize(
    ("headers", "query", "reason"),
    [
        ({}, [], "none"),
        ({"Authorization": TOKEN}, [], "none"),
        ({"Authorization": f"Basic {TOKEN}"}, [], "none"),
        ({"Sec_WebSocket_Protocol": TOKEN}, [], "none"),
        ({"Authorization": "Bearer"}, [], "token"),
        ({"Sec_WebSocket_Protocol": "token."}, [], "token"),
        ({}, [TOKEN + "x"], "token"),
        ({}, [TOKEN[:-1]], "token"),
        ({}, ["ü"], "token"),
    ],
)
def test_anything_else_is_refused(headers: dict[str, str], query: list[str], reason: str) -> None:
    refusal = caller_of(shown(**headers), query)

    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason
    assert TOKEN not in refusal.text


def test_without_a_token_set_everybody_is_admin() -> None:
    assert Access(ServerSettings()).caller_of(shown(), peer="127.0.0.1", socket=True) == Caller(Role.ADMIN)


@pytest.mark.parametrize(
    ("headers", "socket", "reason"),
    [
        ({"Origin": "http://127.0.0.1:8765"}, True, ""),
        ({"Origin": "http://127.0.0.1:8765"}, False, ""),
        ({"Origin": "https://birds.example", "X_Forwarded_Host": "birds.example"}, True, ""),
        ({}, False, ""),
        ({"Sec_Fetch_Site": "same-origin"}, False, ""),
        ({"Sec_Fetch_Site": "none"}, False, ""),
        ({}, True, "foreign"),
        ({"Sec_Fetch_Site": "same-origin"}, True, "foreign"),
        ({"Origin": "http://127.0.0.1:3000"}, True, "foreign"),
        ({"Origin": "http://127.0.0.1:3000"}, False, "foreign"),
        ({"Origin": "https://dash.example"}, True, "foreign"),
        ({"Sec_Fetch_Site": "same-site"}, False, "foreign"),
        ({"Sec_Fetch_Site": "cross-site"}, False, "foreign"),
    ],
)
def test_a_login_counts_only_where_our_own_page_shows_it(headers: dict[str, str], socket: bool, reason: str) -> None:
    access = Access(SETTINGS)
    cookie = access.login(Caller(Role.AUDIO), secure=False).partition(";")[0]

    answer = access.caller_of(shown(Cookie=f"a=b; {cookie}", **headers), peer="127.0.0.1", socket=socket)

    assert (answer.reason if isinstance(answer, Refusal) else "") == reason
    assert reason or answer == Caller(Role.AUDIO)


def test_a_token_that_is_shown_decides_before_a_login() -> None:
    access = Access(SETTINGS)
    cookie = access.login(Caller(Role.ADMIN), secure=False).partition(";")[0]
    labels, wrong = f"Bearer {TOKENS[Role.LABELS]}", "Bearer wrong-token"

    answers = [
        access.caller_of(shown(Cookie=cookie, Authorization=value), peer="::1", socket=False)
        for value in (labels, wrong)
    ]

    assert answers == [Caller(Role.LABELS), Refusal("token", "a wrong token was given")]


def test_a_login_ends_with_its_token_and_says_so() -> None:
    cookie = Access(SETTINGS).login(Caller(Role.AUDIO), secure=False).partition(";")[0]
    changed = Access(replace(SETTINGS, audio_token="another-audio-token"))
    gone = Access(replace(SETTINGS, audio_token=None))
    admins = Access(replace(SETTINGS, token="another-admin-token"))

    answers = [access.caller_of(shown(Cookie=cookie), peer="::1", socket=False) for access in (changed, gone, admins)]

    assert [isinstance(answer, Refusal) and answer.reason for answer in answers] == ["stale", "stale", False]
    assert "the token was changed" in str(answers[0])
    assert answers[2] == Caller(Role.AUDIO)


def test_the_best_of_several_logins_counts() -> None:
    access = Access(SETTINGS)
    good = [access.login(Caller(role), secure=False).partition(";")[0] for role in (Role.LABELS, Role.ADMIN)]
    headers = shown(Cookie="; ".join(["streamclf-8765=admin.99999999999." + "0" * 64, *good]))

    assert access.caller_of(headers, peer="::1", socket=False) == Caller(Role.ADMIN)


def test_who_tries_too_many_tokens_has_to_wait_even_with_a_right_one() -> None:
    access = Access(SETTINGS)
    wrong, right = shown(Authorization="Bearer wrong-token"), shown(Authorization=f"Bearer {TOKEN}")
    for _ in range(TRIES):
        access.caller_of(wrong, peer="10.0.0.1", socket=False)

    waiting = access.caller_of(right, peer="10.0.0.1", socket=False)
    cookie = access.login(Caller(Role.LABELS), secure=False).partition(";")[0]

    assert isinstance(waiting, Refusal)
    assert waiting.reason == "wait"
    assert "from 10.0.0.1; try again in " in waiting.text
    assert access.caller_of(right, peer="10.0.0.2", socket=False) == Caller(Role.ADMIN)
    assert access.caller_of(shown(Cookie=cookie), peer="10.0.0.1", socket=False) == Caller(Role.LABELS)


@pytest.mark.parametrize(
    ("peer", "chain", "same"),
    [
        ("127.0.0.1", "10.0.0.7, 192.0.2.9", False),
        ("127.0.0.1", "no address", True),
        ("10.0.0.5", "192.0.2.9", True),
        ("2001:db8::1", "", True),
    ],
)
def test_tries_are_counted_for_whom_a_proxy_of_this_machine_names(peer: str, chain: str, same: bool) -> None:
    """same: another client of that peer, or another address of its network, has to wait as well."""
    access = Access(SETTINGS)
    for _ in range(TRIES):
        access.caller_of(shown(Authorization="Bearer wrong-token", X_Forwarded_For=chain), peer=peer, socket=False)

    other = shown(Authorization=f"Bearer {TOKEN}", X_Forwarded_For="192.0.2.10" if chain else "")
    neighbour = peer.replace("::1", "::2")
    waits = isinstance(access.caller_of(other, peer=neighbour, socket=False), Refusal)

    if chain == "no address":
        other = shown(Authorization=f"Bearer {TOKEN}", X_Forwarded_For=chain)
        waits = isinstance(access.caller_of(other, peer=peer, socket=False), Refusal)
    assert waits == same


def named(number: int) -> str:
    return f"203.0.{number // 256}.{number % 256}"


@pytest.mark.parametrize("peers", [["127.0.0.1"], ["::1"], [f"127.0.0.{last}" for last in range(1, 255)]])
def test_a_program_of_this_machine_that_makes_up_clients_runs_out_of_tries(peers: list[str]) -> None:
    access = Access(SETTINGS)
    refused = [
        access.caller_of(
            shown(Authorization="Bearer wrong-token", X_Forwarded_For=named(number)),
            peer=peers[number % len(peers)],
            socket=False,
        )
        for number in range(3 * TRIES * TOGETHER)
    ]
    reasons = [refusal.reason for refusal in refused if isinstance(refusal, Refusal)]
    right = shown(Authorization=f"Bearer {TOKEN}", X_Forwarded_For="198.51.100.1")
    waiting = access.caller_of(right, peer="127.0.0.1", socket=False)
    cookie = access.login(Caller(Role.LABELS), secure=False).partition(";")[0]

    assert reasons.count("token") <= TRIES * TOGETHER + 1  # one more may be due on a slow machine
    assert isinstance(waiting, Refusal)
    assert "came from this machine or through its proxy; try again in " in waiting.text
    # who does not come through this machine, and who is logged in, is not held up
    assert access.caller_of(right, peer="10.0.0.1", socket=False) == Caller(Role.ADMIN)
    assert access.caller_of(shown(Cookie=cookie), peer="127.0.0.1", socket=False) == Caller(Role.LABELS)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("127.0.0.1", ""), ("127.0.0.2", "")),
        (("127.0.0.1", ""), ("::1", "")),
        (("127.0.0.1", ""), ("::ffff:127.0.0.1", "")),
        (("127.0.0.1", "127.0.0.7"), ("127.0.0.1", "127.0.0.8")),
        (("127.0.0.1", "::ffff:192.0.2.9"), ("::1", "192.0.2.9")),
        (("127.0.0.1", "2001:db8::1%eth0"), ("127.0.0.1", "2001:db8::2%eth1")),
        (("::ffff:10.0.0.5", ""), ("10.0.0.5", "")),
    ],
)
def test_other_names_of_the_same_sender_are_no_further_tries(first: tuple[str, str], second: tuple[str, str]) -> None:
    access = Access(SETTINGS)
    for _ in range(TRIES):
        access.caller_of(
            shown(Authorization="Bearer wrong-token", X_Forwarded_For=first[1]), peer=first[0], socket=False
        )

    right = shown(Authorization=f"Bearer {TOKEN}", X_Forwarded_For=second[1])
    assert isinstance(access.caller_of(right, peer=second[0], socket=False), Refusal)


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.1.5", "birds.local"])
def test_an_open_bind_without_a_token_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="no token is set; set STREAMCLF_TOKEN"):
        check_bind(ServerSettings(host=host))

    check_bind(ServerSettings(host=host, token=TOKEN))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_a_loopback_bind_needs_none(host: str) -> None:
    check_bind(ServerSettings(host=host))


def test_who_comes_through_the_proxy_that_lets_people_in_is_admin() -> None:
    access = Access(replace(SETTINGS, host="0.0.0.0", behind="172.30.32.2"))

    for peer, role in (("172.30.32.2", Role.ADMIN), ("::ffff:172.30.32.2", Role.ADMIN)):
        assert access.caller_of(shown(), [], peer=peer, socket=True) == Caller(role)
        assert access.check_host(["homeassistant.local:8123"], peer=peer) is None
    for peer in ("172.30.32.3", "127.0.0.1", ""):
        refused = access.caller_of(shown(X_Forwarded_For="172.30.32.2"), [], peer=peer, socket=True)
        assert isinstance(refused, Refusal)
        assert access.check_host(["homeassistant.local:8123"], peer=peer) is not None
    # a page of another site is no page of ours there either
    assert access.check_origin(shown(Origin="https://evil.example", X_Forwarded_Host="homeassistant.local:8123"))


def test_where_no_proxy_is_named_none_is_trusted() -> None:
    assert not Access(SETTINGS).trusts("")
    assert not Access(SETTINGS).trusts("172.30.32.2")
