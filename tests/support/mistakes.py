"""Rules files with one mistake each, and what must be said of it."""

from streamclf.alerts.rules.file import Vocabulary

KNOWN = Vocabulary(
    frozenset({"robin", "wren", "tawny_owl", "siren", "group:bird", "group:alarm"}), frozenset({"garden", "pond"})
)

RULE = '[[rule]]\nname = "r"\nlabels = ["robin"]\n'
PLACE = '[place]\ntimezone = "UTC"\n'

# what is written -> (line, what the message names, what it suggests); the text is the whole file
MISTAKES: dict[str, tuple[str, int, str, str]] = {
    "not TOML": (f"{RULE}min_peak = \n", 4, "this is not TOML", "check quotes"),
    "unclosed string": (f'{RULE}message = "robin\n', 4, "this is not TOML", "check quotes"),
    "key twice": (f"{RULE}min_peak = 0.5\nmin_peak = 0.6\n", 5, "not TOML", "check quotes"),
    "unknown table": ('[sinks.log]\ntype = "ndjson"\n', 1, "sinks: no such table", "did you mean sink?"),
    "unknown key": (f"{RULE}min_peek = 0.5\n", 4, 'rule "r": min_peek: unknown key', "did you mean min_peak?"),
    "picture where none can go": (
        '[sink.file]\ntype = "ndjson"\npath = "a"\npicture = true\n',
        4,
        "sink.file.picture: unknown key",
        "a picture goes with apprise, command, webhook",
    ),
    "key of something else": (f"{RULE}volume = 3\n", 4, 'rule "r": volume: unknown key', "there is name, labels"),
    "one rule, one bracket": ('[rule]\nname = "r"\n', 1, "rule: is one table", "[[rule]]"),
    "no name": ('[[rule]]\nlabels = ["robin"]\n', 1, "rule 1: has no name", 'add name = "dawn-robin"'),
    "no labels": ('[[rule]]\nname = "r"\n', 1, 'rule "r": has no labels', "add labels = "),
    "labels empty": ('[[rule]]\nname = "r"\nlabels = []\n', 3, "labels: is empty", "name some"),
    "name with blanks": ('[[rule]]\nname = "my rule"\nlabels = "robin"\n', 2, "'my rule' cannot", 'name = "dawn-'),
    "name twice": (RULE + RULE, 5, 'rule "r": name: line 2 has a rule of that name', "give each rule its own"),
    "label misspelt": (
        '[[rule]]\nname = "r"\nlabels = ["robbin"]\n',
        3,
        "tell no events of robbin",
        "did you mean robin?",
    ),
    "group misspelt": ('[[rule]]\nname = "r"\nlabels = "group:brid"\n', 3, "group:brid", "did you mean group:bird?"),
    "label is a number": ('[[rule]]\nname = "r"\nlabels = [1]\n', 3, "labels: expected text", 'labels = ["robin"'),
    "stream misspelt": (f'{RULE}streams = ["gardn"]\n', 4, "streams: there is no stream gardn", "mean garden?"),
    "stage misspelt": (f'{RULE}stage = "opened"\n', 4, "stage: 'opened' cannot stand here", "did you mean open?"),
    "probability in percent": (f"{RULE}min_peak = 60\n", 4, "min_peak: expected number <= 1.0", "min_peak = 0.6"),
    "number as text": (f'{RULE}min_mean = "0.6"\n', 4, "min_mean: expected number, got '0.6'", "min_mean = 0.4"),
    "duration at the opening": (f"{RULE}min_duration_ms = 900\n", 4, "min_duration_ms: an event that", "confirmed"),
    "duration below 0": (f"{RULE}min_duration_ms = -1\n", 4, "min_duration_ms: expected whole number >= 1", "= 1500"),
    "level above full scale": (f"{RULE}level_dbfs = 3\n", 4, "level_dbfs: expected number <= 0.0", "level_dbfs = -45"),
    "no time of day": (f'{PLACE}{RULE}time = "6-9"\n', 6, "time: '6-9' is not a time of day", '"06:00-09:30"'),
    "past the day": (
        f'{PLACE}{RULE}time = "06:00-25:00"\n',
        6,
        "time: '06:00-25:00' is not a time of day",
        '"06:00-09:30"',
    ),
    "empty time": (f'{PLACE}{RULE}time = "06:00-06:00"\n', 6, "time: '06:00-06:00' is empty", '"06:00-09:30"'),
    "time without a zone": (f'{RULE}time = "06:00-09:30"\n', 4, "time: needs the time of day", "timezone = "),
    "sun misspelt": (f'{PLACE}{RULE}sun = "down"\n', 6, "sun: 'down' cannot stand here", "did you mean dawn?"),
    "sun without a place": (f'{PLACE}{RULE}sun = "dawn"\n', 6, "sun: needs to know where", "latitude = "),
    "no such zone": ('[place]\ntimezone = "Europe/Berlim"\n', 2, "place.timezone: ", "did you mean Europe/Berlin?"),
    "half a place": (f"{PLACE}latitude = 52.5\n", 3, "place.latitude: stands without longitude", "add longitude"),
    "off the globe": (f"{PLACE}latitude = 95\nlongitude = 1\n", 3, "place.latitude: expected number <= 90", "52.52"),
    "unless itself": (f'{RULE}unless = "robin"\n', 4, "unless: 'robin' is also in labels", "name only"),
    "count alone": (f"{RULE}count = 3\n", 4, "count: stands without within_min", "add within_min = 10"),
    "minutes alone": (f"{RULE}within_min = 3\n", 4, "within_min: stands without count", "add count = 3"),
    "count of one": (f"{RULE}count = 1\nwithin_min = 3\n", 4, "count: expected whole number >= 2", "count = 3"),
    "cool-down below 0": (f"{RULE}cooldown_s = -1\n", 4, "cooldown_s: expected number >= 0", "cooldown_s = 600"),
    "first of what": (f'{PLACE}{RULE}first = "week"\n', 6, "first: 'week' cannot stand here", "there is day"),
    "first twice": (f'{PLACE}{RULE}first = "day"\ndays = 2\n', 7, "days: stands beside first", "keep one"),
    "no days": (f"{PLACE}{RULE}days = 0\n", 6, "days: expected whole number >= 1", "days = 30"),
    "per stream": (f'{RULE}per = "stream"\n', 4, "per: 'stream' cannot stand here", "there is label, rule"),
    "merge for ever": (f"{RULE}merge_ms = 100000\n", 4, "merge_ms: expected whole number <= 60000", "merge_ms = 2000"),
    "shared for ever": (f"{RULE}shared_s = 100000\n", 4, "shared_s: expected number <= 86400", "shared_s = 60"),
    "digest of a fleet": (
        f'{PLACE}{RULE}digest = "1d"\nshared_s = 9\n',
        7,
        "shared_s: stands beside digest",
        "leave it",
    ),
    "digest of a week": (f'{PLACE}{RULE}digest = "1w"\n', 6, "digest: '1w' cannot stand here", "1h"),
    "sink not there": (f'{RULE}sinks = ["phon"]\n[sink.phone]\ntype = "desktop"\n', 4, "[sink.phon]", "mean phone?"),
    "sink without type": ('[sink.log]\npath = "x"\n', 1, "sink.log: has no type", "add type = 'apprise' or"),
    "sink of no kind": ('[sink.log]\ntype = "ndjsn"\n', 2, "sink.log.type: 'ndjsn' is not a kind", "mean ndjson?"),
    "sink key misspelt": ('[sink.log]\ntype = "ndjson"\npth = "x"\n', 3, "sink.log.pth: unknown", "mean path?"),
    "sink key missing": ('[sink.log]\ntype = "ndjson"\n', 1, "sink.log: has no path", "add path = "),
    "sink value": (
        '[sink.o]\ntype = "osc"\nhost = "h"\nport = 0\n',
        4,
        "sink.o.port: expected whole number >= 1",
        "port = 9000",
    ),
    "sink is a text": ('[sink]\nlog = "alerts.txt"\n', 2, "sink.log: is not a table", "write [sink.log]"),
    "field misspelt": (f'{RULE}message = "{{lable}}"\n', 4, "message: {lable} is not a field", "write {label}"),
    "attribute": (f'{RULE}message = "{{label.__class__}}"\n', 4, "{label.__class__} is not a field", "write {label}"),
    "index": (f'{RULE}message = "{{label[0]}}"\n', 4, "message: {label[0]} is not a field", "write {label}"),
    "format": (f'{RULE}message = "{{peak:>999999}}"\n', 4, "message: {peak:>999999} has a format", "{peak:.2f}"),
    "conversion": (f'{RULE}message = "{{label!r}}"\n', 4, "message: {label!r} has a format", "write {label}"),
    "brace": (f'{RULE}message = "a {{ b"\n', 4, "message: ", "written twice: {{"),
    "message empty": (f'{RULE}message = ""\n', 4, "message: expected text of length >= 1", "message = "),
}
