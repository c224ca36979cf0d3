"""Layers, their order, and one sentence for every mistake."""

from pathlib import Path

import pytest

from streamclf import config
from streamclf.config import words
from streamclf.config.sections import SECTIONS, Config, DecisionConfig
from streamclf.errors import ConfigError, UsageError
from streamclf.types import Provider


@pytest.fixture(autouse=True)
def _no_files_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setattr("streamclf.config.loading.system_file", lambda: tmp_path / "system.toml")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_defaults_listen_on_loopback() -> None:
    loaded = config.load(environ={})
    assert (loaded.server.host, loaded.server.port, loaded.provider) == ("127.0.0.1", 8765, Provider.AUTO)


def test_rules_are_beside_the_user_s_own_file_unless_named() -> None:
    assert config.rules_file(config.load(environ={})) == config.user_file().parent / "rules.toml"
    assert config.rules_file(config.load(environ={"STREAMCLF_RULES": "~/r.toml"})) == Path.home() / "r.toml"


def test_each_layer_wins_over_those_below(tmp_path: Path) -> None:
    write(tmp_path / "system.toml", "hop_ms = 20\nlatency_ms = 1\ngain = 'normalise'\n[server]\nport = 1\nhost = 'a'")
    write(config.user_file(), "hop_ms = 40\nlatency_ms = 2\n[server]\nport = 2")
    file = write(tmp_path / "file.toml", "hop_ms = 60\nlatency_ms = 3\n[server]\nport = 3")
    environ = {"STREAMCLF_HOP_MS": "80", "STREAMCLF_SERVER_PORT": "4"}
    loaded = config.load(flags={"hop_ms": 100, "server.port": None}, file=file, environ=environ)
    assert (loaded.hop_ms, loaded.server.port, loaded.latency_ms) == (100, 4, 3)
    assert (loaded.gain, loaded.server.host) == ("normalise", "a")


def test_lengths_of_time_may_be_written_in_words(tmp_path: Path) -> None:
    file = write(
        tmp_path / "file.toml",
        'hop = "100 ms"\n[clips]\npre = "2s"\nkeep_days = "2 weeks"\n[segmentation.bird]\nmin_off = "1.5 s"\n',
    )
    loaded = config.load(file=file, environ={"STREAMCLF_CLIPS_POST_MS": "1 s"})
    assert (loaded.hop_ms, loaded.clips.pre_ms, loaded.clips.keep_days, loaded.clips.post_ms) == (100, 2000, 14, 1000)
    assert loaded.segmentation["bird"].min_off_ms == 1500


def test_every_key_is_an_environment_variable() -> None:
    environ = {
        "STREAMCLF_SOURCE": '["device", "file:a b.wav"]',
        "STREAMCLF_MODEL": "yamnet",
        "STREAMCLF_PROVIDER": "cpu",
        "STREAMCLF_THREADS": "2",
        "STREAMCLF_AVERAGE": "true",
        "STREAMCLF_FAST": "true",
        "STREAMCLF_RULES": "/etc/streamclf/rules.toml",
        "STREAMCLF_SERVER_ORIGINS": '["https://a.example"]',
        "STREAMCLF_SERVER_REPLAY_SECONDS": "120",
        "STREAMCLF_STORE_ENABLED": "false",
        "STREAMCLF_STORE_PATH": "/var/lib/birds",
        "STREAMCLF_SCORES_TOP_K": "10",
        "STREAMCLF_CLIPS_LABELS": "group:bird",
        "STREAMCLF_CLIPS_PRIVACY": "mute",
        "STREAMCLF_SEGMENTATION": '{speech = {enter = 0.6}, "group:bird" = {n = 3, m = 5}}',
    }
    loaded = config.load(environ=environ)
    assert loaded.source == ("device", "file:a b.wav")
    assert loaded.model == ("yamnet",)
    assert (loaded.provider, loaded.threads, loaded.average, loaded.fast) == (Provider.CPU, 2, True, True)
    assert config.rules_file(loaded) == Path("/etc/streamclf/rules.toml")
    assert (loaded.server.origins, loaded.server.replay_seconds) == (("https://a.example",), 120)
    assert (loaded.store.enabled, config.store_folder(loaded)) == (False, Path("/var/lib/birds"))
    assert (loaded.scores.top_k, loaded.clips.labels, loaded.clips.privacy) == (10, ("group:bird",), "mute")
    assert loaded.per_label() == {"speech": {"enter": 0.6}, "group:bird": {"n": 3, "m": 5}}


def test_durations_become_frames_and_n_alone_means_n_in_a_row() -> None:
    speech = 'speech = {min_on_ms = 90, min_off_ms = 0, smoothing = "median", smoothing_ms = 100, n = 4}'
    text = f'{{{speech}, dog = {{reach_back_ms = 90}}, "*" = {{reach_back_ms = 0}}}}'
    fields = config.load(environ={"STREAMCLF_SEGMENTATION": text}).per_label()
    assert fields == {
        "speech": {"min_on": 5, "min_off": 1, "smoothing": "median", "smoothing_frames": 5, "n": 4, "m": 4},
        "dog": {"reach_back": 5},
        "*": {"reach_back": 0},
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prot = 1", "unknown key prot"),
        ("[server]\nprot = 1", "unknown key server.prot; did you mean server.port?"),
        (
            "[segmentation.speech]\nentr = 1",
            "unknown key segmentation.speech.entr; did you mean segmentation.speech.",
        ),
        ("hop_ms = 30", "hop_ms = 30: expected a whole number that's a multiple of 20"),
        ("hop_ms = '20'", "hop_ms: expected a whole number, got text in quotes"),
        ("source = 'device'", 'source: expected a list such as ["..."], got text in quotes'),
        ("port = 9000", "unknown key port; it belongs under [server]"),
        (
            "[scores]\nsensitivity = 'low'",
            "sensitivity belongs to no table; write it above the first [table] of the file",
        ),
        ("threshold = 0.5", "write enter = 0.6 under [segmentation.LABEL]"),
        ("[segmentation]\nthreshold = 0.5", "a number; write enter under [segmentation.LABEL]"),
        ("[segmentation]\ndog = 0.5", "a number; write enter = 0.5 under [segmentation.dog]"),
        ("[rules]\nfile = 'x'", "stand in a file of their own, rules.toml"),
        ("[place]\ntimezone = 'x'", "stands in rules.toml"),
        ("[segmentation.dog]\nthreshold = 1", "did you mean segmentation.dog.enter?"),
        ("[server]\npassword = 'x'", "did you mean server.token_file?"),
        ("cors = ['x']", "unknown key cors; did you mean origins under [server]?"),
        ("gpu = true", "did you mean provider?"),
        ("[events]\ndays = 7", "what is kept of it is said under [store]"),
        ("[scores]\ndays = 7", "did you mean scores.keep_days?"),
        ("[privacy]\nspeech = true", "what is kept of it is said under [clips]"),
        ("[mqtt]\nurl = 'x'", "stand in a file of their own, rules.toml"),
        ("quiet = '22-6'", "stand in a file of their own, rules.toml"),
        ("[watch]\nmail = 'x'", "did you mean watch.sinks?"),
        ("[scores]\nretries = 2\nheadroom_mb = 3", "unknown key scores.retries; known keys: enabled"),
        ("[scores]\nheadroom_mb = 3", "unknown key scores.headroom_mb; it belongs under [store]"),
        (
            "gain = '20'",
            "gain: is not written as it should be (What lifts a quiet microphone for the models: decibels as +20dB",
        ),
        ("[segmentation.dog]\nenter = '0,5'", "segmentation.dog.enter: expected a number, got text in quotes"),
        ("provider = 'gpu'", "provider: invalid enum value 'gpu'"),
        (
            "[server]\nport = 70000",
            "server.port = 70000: expected a whole number <= 65535 (Port to listen on; 0 takes a free one)",
        ),
        ("[server]\nbase_path = 'birds/'", "server: base_path is 'birds/', expected something such as /birds"),
        (
            "[segmentation.speech]\nenter = 1.5",
            "segmentation.speech.enter = 1.5: expected a number <= 1.0 (An event begins where a score reaches it)",
        ),
        ("a = ", "is not TOML"),
        ("threads = " + 5000 * "9", "line 1: a number has more than 4300 digits"),
        ("threads = 0x" + 5000 * "f", "threads: expected a whole number <= "),
        ("[segmentation.speech]\nenter = 0x" + 5000 * "f", "number out of range"),
        ("threads = " + 100_000 * "[", "line 1: lists and tables lie too deep in each other"),
        (100_000 * "a." + "a = 1", "line 1: a key has more than 32 parts"),
        (500_000 * "a" + " = 1", "unknown key aaa"),
        ("#" * (1 << 20) + "\n", "is not a regular file of at most 1 MiB"),
    ],
)
def test_a_mistake_in_a_file_names_file_and_key(tmp_path: Path, text: str, says: str) -> None:
    file = write(tmp_path / "bad.toml", text)
    with pytest.raises(ConfigError) as caught:
        config.load(file=file, environ={})
    assert says in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("path", ["half\udcff", "zero\0byte", "/proc/self/mem", "."])
def test_whatever_a_file_is_it_is_refused_in_a_sentence(path: str) -> None:
    with pytest.raises(ConfigError, match=r"^configuration file .+ (cannot be read|does not exist)"):
        config.load(file=Path(path), environ={})


def test_a_file_without_end_is_left(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="goes on for more than 1 MiB"):
        config.load(file=Path("/dev/zero"), environ={})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("STREAMCLF_SERVER_PROT", "1", "did you mean STREAMCLF_SERVER_PORT?"),
        ("STREAMCLF_PORT", "80", "did you mean STREAMCLF_SERVER_PORT?"),
        ("STREAMCLF_SERVER_ADDRESS", "0.0.0.0", "did you mean STREAMCLF_SERVER_HOST?"),
        ("STREAMCLF_MIC", "hw:0", "did you mean STREAMCLF_SOURCE?"),
        ("STREAMCLF_PASSWORD", "x", "did you mean STREAMCLF_SERVER_TOKEN_FILE?"),
        ("STREAMCLF_SEGMENTATION_SPEECH_ENTER", "0.4", "under [segmentation.LABEL]"),
        ("STREAMCLF_THRESHOLD", "0.4", "under [segmentation.LABEL]"),
        ("STREAMCLF_EVENTS", "1", "STREAMCLF_STORE_"),
        ("STREAMCLF_ALERTS", "1", "STREAMCLF_RULES names it"),
        ("STREAMCLF_QQ", "0.4", "`streamclf config show` lists"),
        ("STREAMCLF_SERVER_PORT", "many", "not a TOML value for port"),
        ("STREAMCLF_SERVER_PORT", "-1", "server.port"),
        ("STREAMCLF_SERVER_PORT", 5000 * "9", "not a TOML value for port"),
        ("STREAMCLF_SERVER_PORT", 100_000 * "[", "not a TOML value for port"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError, match="the environment") as caught:
        config.load(environ={name: value})
    assert says in str(caught.value)


def test_variables_that_are_no_keys_are_let_be() -> None:
    config.load(environ={"STREAMCLF_MODELS": "/x", "STREAMCLF_TOKEN": "t", "STREAMCLF_TEST_X": "", "STREAMCLFOO": ""})


def test_a_bad_flag_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="hop_ms"):
        config.load(flags={"hop_ms": 30}, environ={})


def test_a_configuration_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        config.load(file=tmp_path / "none.toml", environ={})
    with pytest.raises(ConfigError, match="does not exist"):
        config.load(environ={"STREAMCLF_CONFIG": str(tmp_path / "none.toml")})


def test_the_keys_that_words_stand_for_are_keys() -> None:
    for section, keys in words._WORDS.items():
        for key in keys:
            table, _, name = key.strip("[]").rpartition(".") if not section else (section, "", key)
            if section == "segmentation":
                assert name in DecisionConfig.__struct_fields__
            elif table:
                assert name in SECTIONS[table].__struct_fields__
            else:
                assert name in Config.__struct_fields__
