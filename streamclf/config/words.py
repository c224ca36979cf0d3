"""Words that people write for keys of the configuration, and the keys that they mean."""

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
_SEGMENTED = ("threshold", "thresholds", "min_score", "min_peak", "confidence", "score", "enter")


def hint_for(prefix: str, word: str) -> str:
    """What to do for a key that no table has; "" for a word that nobody would expect.

    prefix: of the table that it stands in, as "server." or "segmentation.bird."; "" above the first.
    """
    word = word.lower().replace("-", "_")
    section = prefix.partition(".")[0]
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
        return "alerts, their hours and where they go stand in a file of their own, rules.toml"
    return ""
