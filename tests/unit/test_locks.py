"""The locks in tools/locks agree with pyproject.toml, with each other, and name no place that packages come from."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from streamclf.config.environment import from_environment

REPOSITORY = Path(__file__).resolve().parents[2]
LOCKS = REPOSITORY / "tools" / "locks"
NAMES = sorted(path.stem for path in LOCKS.glob("*.txt") if path.stem != "left-out")
# which extras of pyproject.toml each environment holds
EXTRAS = {"run": (), "unit": ("unit",), "test": ("dev", "train")}
SERVERS = {"nvidia-pytriton"}  # a Triton to test with, no build of torch
UNLOCKED = {"streamclf", "torch"}  # ourselves, and what tools/lib.sh pins by its version alone
MACHINES = [
    {"python_version": minor, "python_full_version": f"{minor}.1", "platform_machine": machine, "sys_platform": "linux"}
    for minor in ("3.11", "3.12", "3.13", "3.14")
    for machine in ("x86_64", "aarch64")
]


def _locked(name: str) -> list[Requirement]:
    """What the lock says, without hashes and comments."""
    lines = (LOCKS / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [Requirement(line.split(" --hash=")[0]) for line in lines if line.strip() and not line.startswith("#")]


def _on(machine: dict[str, str], wanted: list[Requirement]) -> list[Requirement]:
    environment = {**{key: str(value) for key, value in default_environment().items()}, **machine, "extra": ""}
    return [item for item in wanted if item.marker is None or item.marker.evaluate(environment)]


def _asked(extras: tuple[str, ...]) -> Iterator[Requirement]:
    """What pyproject.toml asks for, with what its extras ask of one another."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = list(project["dependencies"])
    waiting, seen = list(extras), set()
    while waiting:
        extra = waiting.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for text in project["optional-dependencies"][extra]:
            item = Requirement(text)
            if item.name == "streamclf":
                waiting.extend(item.extras)
            else:
                texts.append(text)
    return map(Requirement, texts)


RUNTIMES = {"onnxruntime", "onnxruntime-gpu"}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda each: f"{each['python_version']}-{each['platform_machine']}")
@pytest.mark.parametrize("runtime", ["cpu", "gpu"])
def test_each_machine_gets_one_build_of_the_runtime_and_the_tested_version(
    runtime: str, machine: dict[str, str]
) -> None:
    for name in EXTRAS:
        assert not {item.name for item in _locked(name)} & RUNTIMES
    (held,) = _on(machine, _locked(runtime))
    asked = next(item for item in _on(machine, list(_asked(()))) if item.name in RUNTIMES)
    (pin,) = held.specifier
    assert held.name == (asked.name if runtime == "gpu" else "onnxruntime")
    assert asked.specifier.contains(pin.version), "run tools/lock"
    if runtime == "cpu" and machine["platform_machine"] == "x86_64":
        (other,) = _on(machine, _locked("gpu"))
        assert held.specifier == other.specifier, "the small build is of another version; run tools/lock"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda each: f"{each['python_version']}-{each['platform_machine']}")
@pytest.mark.parametrize("name", EXTRAS)
def test_every_range_of_pyproject_holds_exactly_one_locked_version(name: str, machine: dict[str, str]) -> None:
    locked: dict[str, list[Version]] = {}
    for item in _on(machine, _locked(name)):
        (pin,) = item.specifier
        assert pin.operator == "=="
        locked.setdefault(canonicalize_name(item.name), []).append(Version(pin.version))
    assert not [package for package, versions in locked.items() if len(versions) > 1]

    wrong = [
        f"{item} has {locked.get(canonicalize_name(item.name), 'nothing')}; run tools/lock"
        for item in _on(machine, list(_asked(EXTRAS[name])))
        if item.name not in UNLOCKED | RUNTIMES
        and not any(item.specifier.contains(version) for version in locked.get(canonicalize_name(item.name), []))
    ]

    assert not wrong, "\n".join(wrong)


def test_environments_agree_with_the_one_that_is_tested() -> None:
    assert {"build", "cpu", "gpu", "run", "test", "triton", "unit", "uv"} == set(NAMES)
    for machine in MACHINES:
        tested = {f"{item.name}{item.specifier}" for item in _on(machine, _locked("test"))}
        for name in ("build", "run", "unit"):
            held = {f"{item.name}{item.specifier}" for item in _on(machine, _locked(name))}
            assert held <= tested, f"{name} differs from test; run tools/lock"


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_has_hashes_and_names_no_place(name: str) -> None:
    text = (LOCKS / f"{name}.txt").read_text(encoding="utf-8")

    pins = [part for part in text.split("\n\n")[-1].replace("\\\n", " ").splitlines() if part and part[0] not in "# "]
    assert pins
    assert all(" --hash=sha256:" in pin for pin in pins)
    assert "://" not in text
    assert not re.search(r"^\s*(-i|--index-url|--extra-index-url|-f|--find-links)\b", text, re.MULTILINE)


def test_torch_is_in_no_lock_and_pinned_once() -> None:
    for name in NAMES:
        held = {canonicalize_name(item.name) for item in _locked(name)} - {
            "nvidia-pytriton"
        }  # a server, no build of torch
        assert not {held_name for held_name in held if held_name.startswith(("torch", "nvidia", "cuda"))}
    shell = (REPOSITORY / "tools" / "lib.sh").read_text(encoding="utf-8")
    assert len(re.findall(r"torch==[\d.]+", shell)) == 1


def test_what_the_tools_hand_on_is_no_setting_to_the_program() -> None:
    """The tests of `tools/test older all` and `--latest` run the program in this environment."""
    text = "".join((REPOSITORY / "tools" / name).read_text(encoding="utf-8") for name in ("test", "lib.sh"))
    names = set(re.findall(r"\bexport (STREAMCLF_\w+)", text))
    assert names
    assert from_environment(dict.fromkeys(names, "/somewhere")) == {}
