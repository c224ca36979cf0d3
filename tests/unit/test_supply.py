"""The bill of materials is what the locks say, and an audit says so where it has no answer."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tools import audit, sbom
from tools.supply import LOCKS, NAMES, PAGE_LOCK, packages


def locked(name: str) -> set[str]:
    """Name and version of each pin, read by itself."""
    return set(re.findall(r"^([A-Za-z0-9._-]+==[^ \\\n]+)", text_of(name), re.MULTILINE))


def text_of(name: str) -> str:
    """Of the lock, with those of both builds of ONNX Runtime where one of them is installed with it."""
    names = [name, *(("cpu", "gpu") if name in ("run", "unit", "test") else ())]
    return "".join((LOCKS / f"{each}.txt").read_text(encoding="utf-8") for each in names)


@pytest.mark.parametrize("lock", NAMES)
def test_a_bill_names_what_the_locks_name_and_nothing_else(lock: str) -> None:
    components = sbom.bill(lock)["components"]

    python = {each["purl"] for each in components if each.get("purl", "").startswith("pkg:pypi/")}
    wanted = {
        f"pkg:pypi/{pin.lower().replace('_', '-').replace('.', '-', pin.split('==')[0].count('.'))}"
        for pin in locked(lock)
    }
    extra = {purl for purl in python if purl.startswith("pkg:pypi/torch@")}
    assert bool(extra) == (lock == "test")
    assert {purl.replace("@", "==") for purl in python - extra} == wanted
    page = [each for each in components if each.get("purl", "").startswith("pkg:npm/")]
    entries = json.loads(PAGE_LOCK.read_text(encoding="utf-8"))["packages"]
    assert {each["version"] for each in page} == {entry["version"] for path, entry in entries.items() if path}
    assert len(page) == len(
        {(path.rpartition("node_modules/")[2], each["version"]) for path, each in entries.items() if path}
    )


def test_hashes_are_those_of_the_lock() -> None:
    components = {each["purl"]: each for each in sbom.bill("run")["components"] if "purl" in each}
    text = text_of("run")

    stated = {
        each["value"] for one in components.values() for each in one.get("properties", []) if "sha256" in each["name"]
    }
    assert stated == set(re.findall(r"--hash=sha256:([0-9a-f]{64})", text))
    vite = next(each for purl, each in components.items() if purl.startswith("pkg:npm/vite@"))
    assert [len(each["content"]) for each in vite["hashes"]] == [128]
    assert vite["scope"] == "excluded"


def test_a_bill_is_cyclonedx_and_the_same_each_time() -> None:
    bill = sbom.bill("run")

    assert bill == sbom.bill("run")
    assert bill["serialNumber"] != sbom.bill("test")["serialNumber"]
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    refs = [each["bom-ref"] for each in bill["components"]]
    assert len(set(refs)) == len(refs)
    known = {*refs, bill["metadata"]["component"]["bom-ref"]}
    for dependency in bill["dependencies"]:
        assert {dependency["ref"], *dependency["dependsOn"]} <= known
    (root,) = (each for each in bill["dependencies"] if each["ref"].startswith("pkg:pypi/streamclf@"))
    assert any(ref.startswith("pkg:pypi/onnxruntime") for ref in root["dependsOn"])
    assert any(ref.startswith("model:default@") for ref in root["dependsOn"])
    for each in bill["components"]:
        assert each["type"] in ("library", "machine-learning-model")
        assert each["scope"] in ("required", "optional", "excluded")
        assert each["name"]
        assert each["version"]


def test_it_is_written_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sbom.main(["--out", str(tmp_path / "sbom.json")]) == 0
    assert sbom.main([]) == 0

    assert (tmp_path / "sbom.json").read_text() == capsys.readouterr().out


@contextmanager
def database(answers: Any) -> Iterator[str]:
    """A database on this machine. answers: (path, question) -> what it says; bytes as they are."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def do_GET(self) -> None:
            self.answer(None)

        def answer(self, question: Any) -> None:
            said = answers(self.path, question)
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_what_is_known_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def answers(path: str, question: Any) -> Any:
        if path == "/v1/vulns/X-1":
            return {"summary": "reads too\x1b[31m far", "aliases": ["CVE-1"]}
        results: list[Any] = []
        for query in question["queries"]:
            purl = query["package"]["purl"]
            asked.append(purl)
            first = "page_token" not in query
            hit = purl.startswith("pkg:pypi/numpy@")
            results.append(
                {"vulns": [{"id": "X-1" if first else "X-2"}], **({"next_page_token": "2"} if first else {})}
                if hit
                else {}
            )
        return {"results": results}

    with database(answers) as address:
        code = audit.main(["--lock", "run", "--database", address])

    said = capsys.readouterr()
    assert code == 1
    assert {each.purl for each in packages("run")} == set(asked)
    numpy = [each for each in packages("run") if each.name == "numpy"]
    assert len(said.out.splitlines()) == 2 * len(numpy)
    assert "(required): X-1 reads too" in said.out
    assert "\x1b" not in said.out
    assert "(CVE-1)" in said.out


def test_nothing_known_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    with database(lambda path, question: {"results": [{} for _ in question["queries"]]}) as address:
        assert audit.main(["--lock", "run", "--database", address]) == 0
    assert "nothing known of" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [b"<html>", [], {"results": []}, {"results": "none"}, {}])
def test_no_answer_is_no_good_news(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with database(lambda path, question: answer) as address:
        assert audit.main(["--lock", "run", "--database", address]) == audit.NO_ANSWER
    said = capsys.readouterr()
    assert said.out == ""
    assert "nothing was checked" in said.err


def test_a_database_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with database(None) as address:
        pass  # it is gone again
    assert audit.main(["--database", address]) == audit.NO_ANSWER
    assert "nothing was checked" in capsys.readouterr().err


def test_an_address_without_https_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for address in ("http://example.org", "file:///etc/passwd", "http://127.0.0.1.example.org"):
        with pytest.raises(SystemExit) as end:
            audit.main(["--database", address])
        assert end.value.code == 2
    capsys.readouterr()
