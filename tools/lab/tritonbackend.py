"""model.py of a version in a real tritonserver: runs the model.onnx beside it, the requests of a batch together."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb  # type: ignore[import-not-found]


class TritonPythonModel:
    """The name that the server looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """args: where it lies, and its version."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = [value.name for value in self._session.get_inputs()]

    def execute(self, requests: list[Any]) -> list[Any]:
        """The answers, one for each request."""
        given = [[pb.get_input_tensor_by_name(one, name).as_numpy() for name in self._inputs] for one in requests]
        together = [np.concatenate(values) for values in zip(*given, strict=True)]
        names = sorted({name for one in requests for name in one.requested_output_names()})
        outputs = self._session.run(names, dict(zip(self._inputs, together, strict=True)))
        answers, first = [], 0
        for values in given:
            rows = slice(first, first := first + len(values[0]))
            answers.append(pb.InferenceResponse([pb.Tensor(n, o[rows]) for n, o in zip(names, outputs, strict=True)]))
        return answers
