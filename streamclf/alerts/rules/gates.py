"""The gates of a rule: conditions in a fixed order, each with what was found, what is wanted, and a sentence.

An event goes through the first group by itself: stage, stream, peak, mean, duration, level, time, sun, likely, unless.
What then would be told, an event or a visit of several, goes through the second: count, cool-down, first. A rule has
only the gates that it asks for. All of them are looked at, also behind one that failed: a person who asks why wants to
see the whole. The first group depends on its arguments alone; the second on what the rule remembers. One more comes
after the alert was decided, and only where it fails: shared, what another site has told (dispatch.py).
"""

from collections.abc import Sequence

from streamclf.alerts.alert import Gate
from streamclf.alerts.rules.memory import Draft, Slot
from streamclf.alerts.rules.place import Location
from streamclf.alerts.rules.rule import FIRSTS, Per, Rule, RuleStage
from streamclf.alerts.rules.spans import exact_span, round_span
from streamclf.clock import NS_PER_SECOND
from streamclf.store.events import StoredEvent

TOLD = Slot("told", int)  # key -> ns of the sound that was told last
COUNTED = Slot("counted", list[int])  # key -> ns of each that counts, sorted; bound: the rule's `count`
HEARD = Slot("heard", int)  # key -> local day on which it was heard last


def event_gates(rule: Rule, event: StoredEvent, *, place: Location, on: Sequence[str]) -> list[Gate]:
    """What an event must show by itself. on: labels of `rule.unless` that are on in the same stream."""
    gates = []
    if rule.stage is RuleStage.CLOSE:
        over = event.stage == "close"
        text = "it is over" if over else "it still goes on, rule waits for its end"
        gates.append(Gate("stage", over, event.stage, "close", text))
    if rule.streams:
        heard = event.stream in rule.streams
        wanted = ", ".join(rule.streams)
        text = f"stream {event.stream}" if heard else f"stream {event.stream}, rule listens to {wanted}"
        gates.append(Gate("stream", heard, event.stream, wanted, text))
    if rule.min_peak is not None:
        gates.append(_at_least("peak", event.peak, rule.min_peak, what=f"{event.label} peak"))
    if rule.min_mean is not None:
        gates.append(_at_least("mean", event.mean, rule.min_mean, what=f"{event.label} mean"))
    if rule.min_duration_ns is not None:
        gates.append(_duration(event, rule.min_duration_ns))
    if rule.level_dbfs is not None:
        gates.append(_level(event, rule.level_dbfs))
    local = place.local(event.onset_ns)
    if rule.time:
        wanted = " or ".join(map(str, rule.time))
        clock = f"{local:%H:%M}"
        holds = any(part.holds(local) for part in rule.time)
        text = f"it began at {clock}" if holds else f"it began at {clock}, rule wants {wanted}"
        gates.append(Gate("time", holds, clock, wanted, text))
    if rule.sun:
        sun = place.sun(event.onset_ns)
        wanted = " or ".join(rule.sun)
        text = f"sun: it is {sun}" if sun in rule.sun else f"sun: it is {sun}, rule wants {wanted}"
        gates.append(Gate("sun", sun in rule.sun, sun.value, wanted, text))
    if rule.max_likely is not None:
        gates.append(_rare(event, rule.max_likely, place))
    if rule.unless:
        wanted, found = ", ".join(rule.unless), ", ".join(on)
        text = f"{found} on at the same time" if on else f"no {wanted} at the same time"
        gates.append(Gate("unless", not on, found, f"no {wanted}", text))
    return gates


def telling_gates(rule: Rule, event: StoredEvent, at_ns: int, *, place: Location, draft: Draft) -> list[Gate]:
    """What the past allows, for the event that speaks for its visit at `at_ns`. Counts it; marks its day as heard."""
    key = key_of(rule, event)
    gates = []
    if rule.count is not None:
        held = draft.get(COUNTED, rule.name, key) or ()
        counted = sorted([*(at for at in held if abs(at_ns - at) < rule.within_ns), at_ns])
        draft.put(COUNTED, rule.name, key, counted[-rule.count :])
        text = f"{len(counted)} of {rule.count} in {exact_span(rule.within_ns)}"
        gates.append(Gate("count", len(counted) >= rule.count, str(len(counted)), str(rule.count), text))
    if rule.cooldown_ns:
        gates.append(_cooldown(at_ns, draft.get(TOLD, rule.name, key), rule.cooldown_ns))
    if rule.first_days is not None:
        today, last = place.day(event.onset_ns), draft.get(HEARD, rule.name, key)
        gates.append(_first(today, last, rule.first_days))
        # what would not have been told in any case was not heard: a cool-down must not swallow the first of the day
        if all(gate.passed for gate in gates[:-1]):
            draft.put(HEARD, rule.name, key, max(today, last or 0))
    return gates


def told(rule: Rule, event: StoredEvent, at_ns: int, draft: Draft) -> None:
    """The rule has told of `event`: the cool-down begins, the count begins anew."""
    key = key_of(rule, event)
    draft.put(TOLD, rule.name, key, max(at_ns, draft.get(TOLD, rule.name, key) or at_ns))
    draft.forget(COUNTED, rule.name, key)


def told_apart(value: float, wanted: float, *, digits: int = 2) -> tuple[str, str]:
    """Both as text, with as many digits as it takes to see that they differ."""
    while digits < 6 and value != wanted and f"{value:.{digits}f}" == f"{wanted:.{digits}f}":
        digits += 1
    return f"{value:.{digits}f}", f"{wanted:.{digits}f}"


def key_of(rule: Rule, event: StoredEvent) -> str:
    """What the rule's memory is kept for."""
    return event.label if rule.per is Per.LABEL else ""


def _at_least(name: str, value: float, wanted: float, *, what: str, unit: str = "", digits: int = 2) -> Gate:
    found, least = (text + unit for text in told_apart(value, wanted, digits=digits))
    passed = value >= wanted
    return Gate(name, passed, found, least, f"{what} {found} {'>=' if passed else '<'} {least}")


def _rare(event: StoredEvent, most: float, place: Location) -> Gate:
    day = place.local(event.onset_ns).date()
    found = None if place.likely is None else place.likely(event.pack, event.label, day)
    wanted = f"{most:g}"
    if found is None:
        text = f"how likely {event.label} is here is not known, rule wants at most {wanted}"
        return Gate("likely", False, "unknown", wanted, text)
    rare = found <= most
    return Gate("likely", rare, f"{found:.2g}", wanted, f"likely here {found:.2g} {'<=' if rare else '>'} {wanted}")


def _duration(event: StoredEvent, wanted_ns: int) -> Gate:
    end_ns = event.decided_ns if event.offset_ns is None else event.offset_ns
    so_far = "" if event.stage == "close" else " so far"
    seconds = (end_ns - event.onset_ns) / NS_PER_SECOND
    return _at_least("duration", seconds, wanted_ns / NS_PER_SECOND, what=f"duration{so_far}", unit=" s")


def _level(event: StoredEvent, wanted: float) -> Gate:
    if event.level_db is None:
        return Gate("level", False, "unknown", f"{wanted:.1f} dBFS", f"level unknown, rule wants {wanted:.1f} dBFS")
    return _at_least("level", event.level_db, wanted, what="level", unit=" dBFS", digits=1)


def _cooldown(at_ns: int, last_ns: int | None, cooldown_ns: int) -> Gate:
    wanted = exact_span(cooldown_ns)
    if last_ns is None:
        return Gate("cool-down", True, "never told", wanted, "cool-down: not told before")
    # a clock that was set back further than the cool-down does not silence the rule until it has caught up
    left = cooldown_ns - abs(at_ns - last_ns)
    ago = round_span(max(0, at_ns - last_ns))
    if left > 0:
        return Gate("cool-down", False, f"told {ago} ago", wanted, f"cool-down, {round_span(left)} left")
    return Gate("cool-down", True, f"told {ago} ago", wanted, f"cool-down over, last told {ago} ago")


def _first(today: int, last: int | None, days: int) -> Gate:
    wanted = {1: "first of the day", FIRSTS["season"]: "first of the season"}.get(days, f"first in {days} days")
    passed = last is None or last <= today - days
    if last is None:
        value = "never heard"
    elif last >= today:
        value = "heard earlier today"
    else:
        value = "heard yesterday" if today - last == 1 else f"last heard {today - last} days ago"
    return Gate("first", passed, value, wanted, f"{wanted}: {value}" if passed else f"{value}, rule wants the {wanted}")
