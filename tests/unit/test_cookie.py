"""A login that a browser keeps: whom it lets in, and what ends it."""

import pytest

from streamclf.serve.http.cookie import KEEP_S, clear_cookie, name_of, set_cookie, shown, who_holds

PLACE = "8765"
NOW_S = 1_700_000_000.5
TOKENS = {"admin": b"0123456789abcdef", "labels": b"fedcba9876543210"}


def value_of(who: str = "labels", token: bytes = TOKENS["labels"], *, place: str = PLACE) -> str:
    header = set_cookie(who, token, place=place, now_s=NOW_S, secure=False)
    return header.partition(";")[0].removeprefix(name_of(place) + "=")


def who(value: str, *, place: str = PLACE, now_s: float = NOW_S) -> tuple[str, str]:
    return who_holds(value, TOKENS, place=place, now_s=now_s)


@pytest.mark.parametrize("name", ["admin", "labels"])
def test_a_login_says_who_it_is_for_a_month(name: str) -> None:
    value = value_of(name, TOKENS[name])

    assert who(value) == (name, "")
    assert who(value, now_s=NOW_S + KEEP_S - 1) == (name, "")
    assert who(value, now_s=NOW_S + KEEP_S + 1) == ("", "this browser logged in more than 30 days ago; log in again")


def test_a_login_ends_when_its_token_is_changed() -> None:
    nobody, why = who_holds(value_of(), {**TOKENS, "labels": b"a-new-labels-token"}, place=PLACE, now_s=NOW_S)

    assert nobody == ""
    assert why == "the token was changed since this browser logged in; log in again with the new one"


def test_no_part_of_it_can_be_changed() -> None:
    value = value_of()
    name, expiry, mac = value.split(".")
    flipped = [value[:i] + ("1" if value[i] == "0" else "0") + value[i + 1 :] for i in range(len(value))]
    forged = [f"admin.{expiry}.{mac}", f"{name}.{int(expiry) + 1}.{mac}", f"{name}.{expiry}.", "", "x", mac, "a.b.c",
              f"{name}.{expiry}.{mac}.", f"{name}.{expiry}.{mac}0", "admin.9.ü", f"{name}.{10**13}.{mac}"]  # fmt: skip

    assert [who(one)[0] for one in flipped + forged] == [""] * len(flipped + forged)
    assert all(who(one)[1] for one in flipped + forged)


def test_a_login_of_a_daemon_on_another_port_does_not_count_even_with_the_same_token() -> None:
    assert shown([f"{name_of('9999')}=x; {name_of(PLACE)}0=y"], PLACE) == []
    assert who(value_of(place="9999"))[0] == ""


def test_the_token_is_not_in_it() -> None:
    assert TOKENS["labels"].decode() not in value_of()
    assert TOKENS["labels"].hex() not in value_of()


def test_browsers_keep_it_from_scripts_and_from_other_sites() -> None:
    plain = set_cookie("labels", TOKENS["labels"], place=PLACE, now_s=NOW_S, secure=False).split("; ")[1:]
    secure = set_cookie("labels", TOKENS["labels"], place=PLACE, now_s=NOW_S, secure=True).split("; ")[1:]

    assert plain == ["Max-Age=2592000", "HttpOnly", "SameSite=Strict"]
    assert secure == [*plain, "Secure"]
    assert clear_cookie(place=PLACE, secure=False).startswith(f"{name_of(PLACE)}=; Max-Age=0; ")


def test_cookies_of_others_are_passed_over_and_not_endless() -> None:
    name = name_of(PLACE)

    assert shown([f'odd"; =; a==b;{name}=1 ;{name} = 2; {name}=3', f"{name}=4"], PLACE) == ["1", "3", "4"]
    assert len(shown([f"{name}=1;" * 1000], PLACE)) == 8
