"""The alerts in examples/prometheus: Prometheus itself reads and tries them, and every metric they name is given."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from streamclf.daemon.diagnosis import DaemonProblems, PartProblems
from streamclf.daemon.gauges import Gauges
from streamclf.daemon.hearing import Hearing
from streamclf.daemon.samples import LastMinute
from streamclf.engine.loud import LEVELS
from streamclf.serve.http.route import Query
from streamclf.serve.roles import Role
from streamclf.types import LoudnessMinute
from tests.support.serving import make_hub

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "prometheus"
RULES = FOLDER / "streamclf.rules.yml"
_LABELLED = ("streamclf_deliveries_total",)  # there once the rules name a sink


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool") or shutil.which("promtool", path=ROOT / ".run")
    if found is None:
        pytest.skip("no promtool here: tools/test takes it out of Debian's package prometheus")
    return found


def told() -> str:
    hub = make_hub(streams=('any "name"\\\n',))
    levels = dict.fromkeys(LEVELS, -30.0)
    hub.overview.minutes["mic"] = LoudnessMinute("mic", 0, 3000, **levels, bands=(-60.0,), offset_db=120.0)
    problems = DaemonProblems(hub, PartProblems(writer=None, selftest=None, alerts=None), Hearing(hub, []))
    return Gauges(hub, [], problems, LastMinute([])).answer(Query({}, Role.ADMIN)).body.decode()


@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", RULES.name),
        ("test", "rules", "streamclf.rules.test.yml"),
        ("check", "config", "prometheus.yml"),
    ],
    ids=" ".join,
)
def test_prometheus_takes_the_files_and_the_alerts_fire_as_they_should(promtool: str, command: list[str]) -> None:
    done = subprocess.run([promtool, *command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_reads_what_metrics_says(promtool: str) -> None:
    done = subprocess.run([promtool, "check", "metrics"], input=told(), capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr  # 3: it has remarks about names
    assert "error while linting" not in done.stderr


def test_every_metric_that_an_alert_or_the_documents_name_is_given() -> None:
    given = set(re.findall(r"^(\w+)[{ ]", told(), re.MULTILINE)) | set(_LABELLED)
    expressions = "".join(re.findall(r"expr: (>-\n(?:          .*\n)+|.*\n)", RULES.read_text()))
    named = set(re.findall(r"\b(?:streamclf|process)_\w+", expressions))
    assert len(named) >= 10
    assert named <= given
    documented = set(re.findall(r"`((?:streamclf|process)_\w+)`", (ROOT / "docs/operate/metrics.md").read_text()))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in given} | given
    assert documented <= families
