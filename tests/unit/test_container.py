"""The Dockerfile and the compose file: what they copy is there, nobody is root, no secret is in it, health is told."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from streamclf.config import variables
from streamclf.config.environment import RESERVED
from streamclf.config.sections import ServerConfig
from tools.container import stage_words
from tools.lab.dockerfile import ImageStage, context, stages
from tools.supply import NAMES

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "examples" / "deploy"
TEXT = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
IGNORE = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8")
_SECRET = re.compile(r"TOKEN|PASSWORD|SECRET|KEY", re.IGNORECASE)


@pytest.fixture
def image() -> list[ImageStage]:
    return stages(TEXT)


def test_a_build_is_given_what_is_copied_and_little_else(image: list[ImageStage]) -> None:
    given = context(ROOT, IGNORE)

    sources = [
        word for stage in image for each in stage.all("COPY") if "from" not in each.flags for word in each.words[:-1]
    ]
    for source in sources:
        assert any(path == Path(source) or Path(source) in path.parents for path in given), source
    loose = [path for path in given if not any(path == Path(each) or Path(each) in path.parents for each in sources)]
    assert not loose
    assert not [
        path for path in given if {".git", ".venv", ".run", "node_modules", "__pycache__", "recipe"} & set(path.parts)
    ]


def test_what_the_wheel_is_made_of_is_copied() -> None:
    given = {path.as_posix() for path in context(ROOT, IGNORE)}
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = table["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]

    assert set(wheel) <= given
    assert {"pyproject.toml", table["project"]["readme"], *table["project"]["license-files"]} <= given
    assert any(path.startswith("streamclf/web/dist/") for path in given)


def test_all_that_pip_installs_has_its_hash_checked(image: list[ImageStage]) -> None:
    installs = [
        part
        for stage in image
        for each in stage.all("RUN")
        for part in each.text.split("&&")
        if " install " in part and "pip" in part
    ]

    assert len(installs) == 3
    for part in installs:
        assert "--no-deps" in part
        assert "--require-hashes" in part or part.split()[-1] == "/src"
    assert image[0].all("ARG")[0].pairs["LOCK"] in NAMES


def test_who_it_is_and_what_it_may(image: list[ImageStage]) -> None:
    last = image[-1]
    words = [each.word for each in last.instructions]

    (user,) = last.all("USER")
    assert user.text.isdecimal()
    assert int(user.text) > 1000
    assert not {"RUN", "COPY", "ADD"} & set(words[words.index("USER") :])
    assert "ADD" not in words
    assert {name for each in last.all("LABEL") for name in each.pairs} >= {"org.opencontainers.image.licenses"}
    assert last.all("VOLUME")[0].words == ["/var/lib/streamclf"]
    for word in ("ENTRYPOINT", "CMD"):
        assert last.all(word)[0].text.startswith("[")


def test_no_secret_is_in_an_image(image: list[ImageStage]) -> None:
    set_ = {
        name for stage in image for word in ("ENV", "ARG", "LABEL") for each in stage.all(word) for name in each.pairs
    }

    assert not {name for name in set_ if _SECRET.search(name)}
    ours = {name for name in set_ if name.startswith("STREAMCLF_")}
    assert ours <= {*variables(), *RESERVED}


def test_health_is_asked_by_our_own_python(image: list[ImageStage]) -> None:
    (check,) = image[-1].all("HEALTHCHECK")
    python, script = stage_words(check)

    assert python == "/opt/streamclf/bin/python"
    assert ["examples/deploy/healthcheck.py", script] in [each.words for each in image[-1].all("COPY")]
    assert {"interval", "timeout", "start-period", "retries"} <= set(check.flags)
    assert f'"{ServerConfig().port}"' in (DEPLOY / "healthcheck.py").read_text(encoding="utf-8")


def test_an_engine_finds_no_fault_in_it() -> None:
    if (hadolint := shutil.which("hadolint")) is None:
        pytest.skip("hadolint is not installed, which judges Dockerfiles")
    done = subprocess.run(
        [hadolint, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is absent, which reads compose files")
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return found


def test_the_compose_file_closes_what_it_can(compose: dict[str, Any], image: list[ImageStage]) -> None:
    (service,) = compose["services"].values()

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    assert service["ports"] == [f"127.0.0.1:{ServerConfig().port}:{image[-1].all('EXPOSE')[0].text}"]
    assert service["devices"] == ["/dev/snd"]
    assert (DEPLOY / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    (user,) = image[-1].all("USER")
    (secret,) = service["secrets"]
    assert secret["uid"] == user.text
    assert secret["mode"] in (0o400, "0400")
    assert secret["source"] in compose["secrets"]
    assert set(service["environment"]) <= set(variables())
    assert service["environment"]["STREAMCLF_SERVER_TOKEN_FILE"] == f"/run/secrets/{secret['target']}"
    written = json.dumps(compose)
    assert not re.search(r"[0-9a-f]{32}|STREAMCLF_TOKEN", written)
    (volume,) = image[-1].all("VOLUME")
    assert any(each.endswith(f":{volume.words[0]}") for each in service["volumes"])
