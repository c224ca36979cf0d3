"""Words that people write for keys of the configuration, and the keys that they mean."""

from collections.abc import Iterable, Mapping

_WORDS = {
    "": {
        "model": "pack packs network",
        "source": "input inputs stream streams mic microphone microphones camera url",
        "provider": "gpu cuda device accelerator execution",
        "threads": "cores cpu cpus workers",
        "gain": "volume amplify boost",
        "species.place": "place location lat lon latitude longitude gps",
        "species.file": "species_list list",
        "server.host": "address bind ip listen interface",
        "server.origins": "cors origin allow_origins",
        "server.token_file": "password token secret auth",
        "server.certificate": "tls ssl https cert",
        "store.path": "database db data data_dir folder",
        "[store]": "events history",
        "log.format": "logging log_format",
        "[clips]": "privacy recordings clip",
        "watch.heartbeat": "heartbeat ping",
    },
    "server": {
        "host": "address addr bind ip listen interface",
        "origins": "cors allow_origins allowed_origins",
        "hosts": "allowed_hosts names domain domains",
        "token_file": "password token secret auth user login",
        "certificate": "tls ssl https cert",
        "base_path": "path prefix root_path subpath",
        "behind": "proxy proxies trusted_proxies",
    },
    "segmentation": {
        "enter": "threshold min min_score min_peak score confidence sensitivity on",
        "leave": "off release",
        "min_on_ms": "min_duration duration min_length length",
        "min_off_ms": "gap merge min_gap",
    },
    "store": {"keep_days": "days retention", "max_mb": "max_size size limit", "path": "folder file dir database db"},
    "scores": {"keep_days": "days retention", "max_mb": "max_size size limit"},
    "clips": {
        "keep_days": "days retention",
        "max_mb": "max_size size limit",
        "pre_ms": "before pre",
        "post_ms": "after post",
        "max_ms": "length duration max_length",
        "privacy_threshold": "threshold",
    },
    "watch": {"silence_min": "silent quiet", "sinks": "mail email to notify send url", "heartbeat": "ping"},
    "species": {"place": "lat lon latitude longitude location", "file": "list species names", "likely": "threshold"},
    "postgres": {"url": "dsn uri host database address"},
    "nats": {"url": "server servers host address", "site": "name"},
}  # fmt: skip
_MEANT = {section: {word: key for key, words in keys.items() for word in words.split()}
          for section, keys in _WORDS.items()}  # fmt: skip
_RULES_WORDS = (
    "alert alerts rule sink sinks mail email smtp notify notifications webhook mqtt ntfy telegram pushover apprise "
    "quiet quiet_hours hours time timezone cooldown"
)
_IN_RULES = frozenset(_RULES_WORDS.split())
_RULES_ELSEWHERE = "alerts, their hours and where they go stand in a file of their own, rules.toml"
_KEYS_OF_A_LABEL = ("enter", "leave", "min_on_ms", "min_off_ms")
_SEGMENTED = ("threshold", "thresholds", "min_score", "min_peak", "confidence", "score", "enter")


def hint_for(prefix: str, word: str) -> str:
    """What to do for a key that no table has; "" for a word that nobody would expect.

    prefix: of the table that it stands in, as "server." or "segmentation.bird."; "" above the first.
    """
    word = word.lower().replace("-", "_")
    section = prefix.partition(".")[0]
    if not section and word == "place":
        return "did you mean place under [species]? That of alerts, with its time zone, stands in rules.toml"
    if key := _MEANT.get(section, {}).get(word):
        if section:
            return f"did you mean {prefix}{key}?"
        if key.startswith("["):
            return f"what is kept of it is said under {key}"
        table, _, key = key.rpartition(".")
        return f"did you mean {key} under [{table}]?" if table else f"did you mean {key}?"
    if not section and word in _SEGMENTED:
        return "thresholds are of each label: write enter = 0.6 under [segmentation.LABEL], or sensitivity for all"
    if section in ("", "clips", "watch") and word in _IN_RULES:
        return _RULES_ELSEWHERE
    return ""


def hint_for_value(key: str, value: object) -> str:
    """What to do where something else was expected at that key; "" where the expectation says it."""
    if key == "rules" and isinstance(value, Mapping | list):
        return f'{_RULES_ELSEWHERE}; rules = "FILE" names it'
    table, _, word = key.partition(".")
    if table != "segmentation" or "." in word or isinstance(value, Mapping):
        return ""
    name = _MEANT[table].get(word.lower().replace("-", "_"), word)
    if name in _KEYS_OF_A_LABEL:
        return f'write {name} under [segmentation.LABEL], or under [segmentation."*"] for all labels'
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"write enter = {value} under [segmentation.{word}]"
    return f"write [segmentation.{word}] with keys such as enter = 0.6"


def hint_for_variable(name: str, sections: Iterable[str]) -> str:
    """The key that people mean by an unknown variable, as SECTION.KEY, or a sentence of what to do; "" for neither.

    name: without what all of them begin with, as `SERVER_ADDRESS`.
    """
    word = name.lower()
    section = next((one for one in sections if word.startswith(f"{one}_")), "")
    if word.startswith("segmentation") or word in _SEGMENTED:
        return (
            'no variable sets thresholds; write enter = 0.6 under [segmentation.LABEL] or [segmentation."*"] of a file'
        )
    key = _MEANT.get(section, {}).get(word.removeprefix(f"{section}_") if section else word, "")
    if key.startswith("["):
        return f"its variables begin with STREAMCLF_{key.strip('[]').upper()}_"
    if not section and not key and word in _IN_RULES:
        return f"{_RULES_ELSEWHERE}; STREAMCLF_RULES names it"
    return f"{section}.{key}" if key and section else key
