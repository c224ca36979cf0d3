"""Why ONNX Runtime refuses a graph, in a sentence that says what to do."""

import re

from streamclf.errors import PackError
from streamclf.text import words_of

_IR = re.compile(r"IR version: (\d+), max supported IR version: (\d+)")
_OPSET = re.compile(r"Opset (\d+) is under development.*for domain ([\w.]+) is till opset (\d+)", re.DOTALL)


def refused(what: str, error: Exception) -> PackError:
    """What to raise for `error`, of ONNX Runtime, about `what`."""
    if found := _IR.search(str(error)):
        return PackError(
            f"{what} is of ONNX IR version {found[1]}, and the ONNX Runtime here reads up to {found[2]}; export it "
            "with an older onnx, or a lower opset_version"
        )
    if found := _OPSET.search(str(error)):
        return PackError(
            f"{what} is of opset {found[1]}, and the ONNX Runtime here reads up to {found[3]} of {found[2]}; export it "
            f"with opset_version={found[3]}"
        )
    return PackError(f"ONNX Runtime refuses {what}: {words_of(error)}; export it again")
