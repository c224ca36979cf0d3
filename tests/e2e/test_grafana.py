"""The dashboard of examples/grafana: a real Prometheus scrapes a real daemon, and answers every query of it."""

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.conftest import StartDaemon
from tests.support.broker import Broker
from tools.lab.daemon import Daemon, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "examples" / "grafana" / "streamclf.json"
LIMIT_S = 60.0
# what Grafana puts in place of these
VARIABLES = {"$__rate_interval": "30s", "$instance": ".*", "$stream": ".*"}


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel.get("targets", ())]


@pytest.fixture(scope="module")
def program() -> str:
    found = shutil.which("prometheus") or shutil.which("prometheus", path=ROOT / ".run")
    if found is None:
        pytest.skip("no prometheus here: tools/test takes it out of Debian's package of that name")
    return found


@pytest.fixture
def listening(daemon: StartDaemon, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that has heard a minute, and has a sink that takes alerts."""
    broker = Broker(tmp_path)
    broker.start()
    try:
        rng = np.random.default_rng(0)
        soundfile.write(tmp_path / "noise.wav", rng.uniform(-0.9, 0.9, 70 * 16_000), 16_000, subtype="PCM_16")
        (tmp_path / "rules.toml").write_text(
            f'[sink.home]\ntype = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\n'
            '[[rule]]\nname = "noise"\nlabels = "loud"\nsinks = ["home"]\n'
        )
        config = f'source = ["file:{tmp_path}/noise.wav#name=yard"]\nrules = "{tmp_path}/rules.toml"\n'
        (tmp_path / "config.toml").write_text(config)
        env = {"STREAMCLF_CONFIG": str(tmp_path / "config.toml"), "STREAMCLF_STORE_PATH": str(tmp_path / "store")}
        running = daemon("--model", "default", "--fast", env=env)
        wait_for(lambda: b"streamclf_loudness_band_decibels{" in running.get("/metrics")[1], "minute", running.stderr)
        yield running
    finally:
        broker.stop()


def wait_for(there: Any, what: str, said: str = "") -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if there():
            return
        time.sleep(0.2)
    raise AssertionError(f"no {what} within {LIMIT_S:.0f} s {said}")


def asked(port: int, expression: str) -> list[Any]:
    place = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    try:
        with urllib.request.urlopen(place, timeout=10) as answer:
            return list(json.load(answer)["data"]["result"])
    except urllib.error.HTTPError as refused:
        with refused:
            raise AssertionError(f"{expression}: {refused.read().decode()}") from None
    except OSError:
        return []  # it has not begun to listen


def test_prometheus_answers_every_query(program: str, listening: Daemon, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: streamclf\n    static_configs:\n"
        f'      - targets: ["127.0.0.1:{listening.port}"]\n'
    )
    with (tmp_path / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [program, "--config.file=prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb",
             f"--web.listen-address=127.0.0.1:{port}"],
            cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        # a rate needs two scrapes
        wait_for(lambda: asked(port, "rate(streamclf_frames_total[30s])"), "scrape", (tmp_path / "prometheus.log").name)
        silent = []
        for query in queries():
            expression = query
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            assert "$" not in expression, query
            if not asked(port, expression):
                silent.append(query)
        assert not silent, "\n".join(silent)
        (laeq,) = asked(port, 'streamclf_loudness_decibels{level="laeq",stream="yard"}')
        assert -20 < float(laeq["value"][1]) < 0
    finally:
        process.terminate()
        process.wait()


def test_the_dashboard_is_one_that_grafana_lays_out() -> None:
    """As far as that can be seen without Grafana: ids once, no panel over another, every query on the chosen source."""
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
    assert len(queries()) > 20


def test_every_metric_of_it_is_in_the_documents() -> None:
    told = (ROOT / "docs" / "operate" / "metrics.md").read_text()
    named = {
        name.removesuffix("_bucket")
        for query in queries()
        for name in re.findall(r"\b(?:streamclf|process)_\w+", query)
    }
    assert not sorted(name for name in named if name not in told)
