"""Certificates that sign themselves, made by openssl."""

import shutil
import subprocess
from pathlib import Path

import pytest


def make_pair(folder: Path, name: str, *, password: str = "") -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and localhost, called `name`, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed (package openssl)")
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    encrypted = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *encrypted,
            "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
            "-keyout", str(key), "-out", str(certificate),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )  # fmt: skip
    key.chmod(0o600)
    return certificate, key
