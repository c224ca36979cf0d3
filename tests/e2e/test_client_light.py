"""The client works where nothing of the daemon's is installed: no runtime, no sound, no numpy."""

import subprocess
import sys

import pytest

# what `pip install streamclf` brings besides, and what the extras do
HEAVY = ["av", "click", "httpx", "numpy", "onnx", "onnxruntime", "prometheus_client", "pyarrow", "rich"]
HEAVY += ["sounddevice", "soundfile", "torch"]
LIGHT = {"msgspec", "streamclf", "typing_extensions", "websockets"}

BLOCKER = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def run(script: str) -> str:
    """What `script` prints where HEAVY is not installed."""
    done = subprocess.run([sys.executable, "-c", BLOCKER + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(module: str) -> set[str]:
    """The packages that importing `module` loads, besides the standard library's."""
    listed = "{name.split('.')[0] for name in sys.modules} - before"
    return set(run(f"before = set(sys.modules)\nimport {module}\nprint(*({listed}))").split()) - sys.stdlib_module_names


@pytest.mark.parametrize("module", ["streamclf", "streamclf.client"])
def test_it_is_imported_without_what_a_daemon_needs(module: str) -> None:
    found = {name for name in loaded(module) if not name.startswith("_")}

    assert "streamclf" in found
    assert found <= LIGHT


def test_binary_rows_without_numpy_are_refused_at_once_in_a_sentence() -> None:
    said = run("""
from streamclf.client import Client
from streamclf.errors import ServeError
for wish in {"encoding": "u8"}, {"audio": "mic"}:
    try:
        Client(**wish)
    except ServeError as fault:
        print(fault)
""")

    assert said.splitlines() == 2 * ["binary encodings and live sound need numpy; install it, or take encoding='json'"]


def test_messages_are_read_without_numpy() -> None:
    said = run("""
from streamclf.client.reader import Reader
from streamclf.protocol import wire
reader = Reader()
reader.connected()
hello = wire.Hello(protocol=wire.PROTOCOL, version="1", instance="here", seq=1, oldest_seq=1, streams=[], packs=[])
print(reader.take(wire.encode(hello).decode()) == hello)
rows = wire.Scores(stream="mic", pack="big", seq=2, first_frame=0, count=1, labels=["dog"], rows=[[0.5]], final=True,
                   captured_ns=1, decided_ns=2, sent_ns=3)
print(reader.take(wire.encode(rows).decode()) == rows)
""")

    assert said.split() == ["True", "True"]
