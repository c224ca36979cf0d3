"""`streamclf config check`: everything that the daemon would refuse at its start, told before it is started."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from streamclf.commands.config import config
from streamclf.errors import ConfigError
from tools.lab.tinypack import stateful_pack

SINK = '[sink.file]\ntype = "ndjson"\npath = "{}/no/a.ndjson"\n'
RULES = SINK + '[[rule]]\nname = "a"\nlabels = ["loud"]\nstreams = ["gardn"]\n'


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lines of a configuration that is good."""
    for name in ("CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    monkeypatch.delenv("STREAMCLF_CONFIG", raising=False)
    pack = stateful_pack(tmp_path / "pack")
    return f'model = ["{pack}"]\nsource = ["push:garden,16000"]\nrules = "{tmp_path}/rules.toml"\n'


def check(tmp_path: Path, text: str, *args: str) -> tuple[list[str], BaseException | None]:
    (tmp_path / "config.toml").write_text(text)
    result = CliRunner().invoke(config, ["check", str(tmp_path / "config.toml"), *args], standalone_mode=False)
    return result.output.splitlines(), result.exception


def test_a_good_one_is_said_to_be_good(tmp_path: Path, base: str) -> None:
    (tmp_path / "rules.toml").write_text(RULES.format(tmp_path).replace("gardn", "garden").replace("/no", ""))
    output, fault = check(tmp_path, base)
    assert (output[0].startswith("configuration is good"), fault) == (True, None)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ('[clips]\nenabled = true\nprivacy = "mute"\n', 'clips.privacy = "mute" needs a pack that tells speech'),
        ('[selftest]\nenabled = true\nlabel = "owl"\n', "selftest.label: no pack in use knows 'owl'"),
        ('[server]\ntoken_file = "/no/token"\n', "/no/token"),
        ('[server]\ncertificate = "/no/cert.pem"\n', "/no/cert.pem"),
        ('[species]\nfile = "/no/list.csv"\npacks = ["tiny-stateful"]\n', "species.file '/no/list.csv' cannot be read"),
        ("[store]\nenabled = false\n", "no events are kept, and alerts need them"),
        ('[store]\npath = "/dev/null/no"\n', "no events could be kept: "),
        ("[segmentation.lout]\nenter = 0.5\n", "did you mean loud?"),
    ],
)
def test_what_the_daemon_would_refuse_is_found(tmp_path: Path, base: str, more: str, sentence: str) -> None:
    (tmp_path / "rules.toml").write_text("")
    _, fault = check(tmp_path, base + more)
    assert isinstance(fault, ConfigError)
    assert sentence in str(fault)


def test_all_is_found_at_once_and_the_network_may_be_left_out(tmp_path: Path, base: str) -> None:
    (tmp_path / "rules.toml").write_text(RULES.format(tmp_path))
    wrong = base.replace("push:garden,16000", f"file:{tmp_path}/no.wav#name=garden")
    output, fault = check(tmp_path, wrong)
    assert "there is no such file" in output[0]
    assert 'rules.toml:7: rule "a": streams: there is no stream gardn; did you mean garden?' in output[1]
    assert "the configuration has 2 mistakes" in str(fault)

    (tmp_path / "rules.toml").write_text(RULES.format(tmp_path).replace("gardn", "garden"))
    _, fault = check(tmp_path, base)
    assert f"rules.toml:1: sink.file: the folder {tmp_path}/no is not there; make it" in str(fault)
    assert check(tmp_path, base, "--offline")[1] is None
