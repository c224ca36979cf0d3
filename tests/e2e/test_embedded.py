"""Who has one daemon pays for no fleet: nothing that speaks to other machines is imported unless it is switched on."""

import subprocess
import sys

import pytest

SWITCHED_ON = {
    "aiomqtt", "apprise", "av", "grpc", "httpx", "nats", "PIL", "psycopg", "pyarrow", "torch", "transformers",
    "tritonclient", "wyoming", "zeroconf",
}  # fmt: skip


def loaded(script: str) -> set[str]:
    """The packages that are there after `script`, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("module", ["streamclf.daemon.main", "streamclf.cli", "streamclf.commands.run"])
def test_a_daemon_without_other_machines_imports_nothing_for_them(module: str) -> None:
    found = loaded(f"import {module}")
    assert "streamclf" in found
    assert not found & SWITCHED_ON


def test_an_engine_is_built_without_them() -> None:
    script = (
        "from streamclf.config import Config\n"
        "from streamclf.engine.build import build_engine\n"
        "assert build_engine(Config(model=('default',))).runners[0].works"
    )
    assert not loaded(script) & SWITCHED_ON
