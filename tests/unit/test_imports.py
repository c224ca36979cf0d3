"""Imports point one way, and what is quarantined stays where it belongs."""

import re
from pathlib import Path

import pytest

import streamclf
from tests.support.imports import LEVELS, TRAIN, faults, modules

PACKAGE = Path(streamclf.__file__).parent
DESIGN = PACKAGE.parent / "docs" / "design"
GROUND = ("errors.py", "clock.py", "types.py")


def test_every_import_of_the_package_is_allowed() -> None:
    seen = dict(modules(PACKAGE))

    assert set(GROUND) <= set(seen), f"the walk missed the ground floor: it saw {sorted(seen)}"
    found = [fault for path, source in seen.items() for fault in faults(path, source)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("errors.py", "from streamclf.audio.ring import Ring"),
        ("__init__.py", "import streamclf.engine"),
        ("audio/ring.py", "import streamclf.features.mel"),
        ("audio/ring.py", "from streamclf import serve"),
        ("audio/ring.py", "from .. import engine"),
        ("audio/sources/file.py", "from ...model import pack"),
        ("features/mel.py", "def f():\n    from streamclf.model.pack import Pack"),
        ("model/pack.py", "if True:\n    from streamclf.engine.engine import Engine"),
        ("engine/engine.py", "import importlib\nimportlib.import_module('streamclf.serve.hub')"),
        ("serve/hub.py", "from streamclf.daemon.main import main"),
        ("serve/hub.py", "from streamclf.serve.http.route import Route"),
        ("serve/http/events.py", "from streamclf.serve.fanout import kept"),
        ("client/client.py", "from streamclf.cli import main"),
        ("store/events.py", "from streamclf.alerts.rules.book import Rule"),
        ("garage/car.py", "from streamclf.errors import StreamclfError"),
        ("engine/engine.py", "from streamclf.garage import car"),
        ("cli.py", "from streamclf.train import fit"),
        ("daemon/main.py", "def f():\n    from streamclf.train import fit"),
        ("model/pack.py", "import onnxruntime as ort"),
        ("engine/batch.py", "from onnxruntime.capi import _pybind_state"),
        ("audio/sources/file.py", "import sounddevice"),
        ("model/session.py", "def f():\n    import torch"),
        ("commands/classify.py", "import transformers"),
        ("engine/runner.py", "import asyncio"),
        ("commands/classify.py", "import asyncio.subprocess"),
        ("serve/hub.py", "from threading import Lock"),
        ("features/mel.py", "import _thread"),
        ("engine/engine.py", "from time import monotonic"),
        ("audio/ring.py", "import time"),
        ("engine/segment.py", "from timeit import default_timer"),
        ("model/session.py", "from timeit import default_timer"),
        ("alerts/rules/book.py", "from concurrent.futures import ThreadPoolExecutor"),
        ("engine/batch.py", "import concurrent.futures"),
        ("train/fit.py", "import multiprocessing"),
        ("features/mel.py", "from multiprocessing import Pool"),
        ("alerts/rules/book.py", "from datetime import datetime\nnow = datetime.now()"),
        ("alerts/rules/gates.py", "from datetime import date as day\ntoday = day.today"),
        ("engine/scope.py", "import datetime as dt\nnow = dt.datetime.utcnow()"),
        ("train/fit.py", "from streamclf.daemon import main"),
        ("train/report.py", "def f():\n    from streamclf.commands.tables import plain"),
        ("train/data.py", "from streamclf.alerts.rules.book import Rule"),
        ("alerts/sinks.py", "import subprocess"),
        ("train/fit.py", "import pickle"),
        ("model/pack.py", "__import__('marshal')"),
        ("model/pack.py", "eval('1')"),
        ("train/fit.py", "exec(code)"),
        ("model/pack.py", "np.load(path, allow_pickle=True)"),
    ],
)
def test_a_planted_fault_is_found_at_its_line(path: str, source: str) -> None:
    line = source.count("\n") + 1

    found = faults(path, source)

    assert len(found) == 1
    assert found[0].startswith(f"{path}:{line}: ")


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("engine/engine.py", "from streamclf.model.pack import Pack\nfrom streamclf.engine.batch import Batch"),
        ("serve/fanout/kept.py", "from streamclf.serve.http.route import Route\nfrom streamclf.serve.hub import Hub"),
        ("cli.py", "from streamclf import __version__, daemon\nfrom streamclf.commands.listen import listen"),
        ("audio/sources/file.py", "from ..ring import Ring\nfrom ...clock import StreamClock\nimport threading, time"),
        ("commands/train.py", "def f():\n    from streamclf.train.fit import fit"),
        ("alerts/rules/sun.py", "from datetime import datetime\nnoon = datetime(2026, 6, 1, 12)\nlot.today()"),
        ("daemon/main.py", "from datetime import date\ntoday = date.today()"),
        ("engine/verify.py", "from time import perf_counter"),
        ("commands/train.py", "if TYPE_CHECKING:\n    from streamclf.train.fit import Watch"),
        ("train/fit.py", "import torch\nfrom streamclf.engine.engine import Engine\nmodel.eval()"),
        ("model/session.py", "import onnxruntime"),
        ("model/pack.py", "np.load(path, allow_pickle=False)"),
    ],
)
def test_an_allowed_import_is_let_through(path: str, source: str) -> None:
    assert faults(path, source) == []


def test_the_design_names_every_room_from_the_ground_up() -> None:
    rows = re.findall(r"^\| `([a-z_ /]+)`", (DESIGN / "index.md").read_text("utf-8"), re.MULTILINE)
    told = [name.rstrip("/") for row in rows for name in row.split()]
    unfolded = {"", "cli", "__main__"}  # the package itself and its command line
    assert set(LEVELS) - unfolded <= set(told)
    floors = [LEVELS[name] for name in told if name in LEVELS]
    assert floors == sorted(floors)
    assert set(told) - set(LEVELS) == {TRAIN, "web"}
