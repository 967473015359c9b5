"""Model files that ONNX Runtime or LiteRT opens, with as much of a Keras model as is needed to predict.

Nothing here imports Keras or TensorFlow.
"""

import importlib
import os

import numpy as np

DTYPES = {"tensor(float)": "float32", "tensor(int32)": "int32"}
ORDER = ("signals", "tokens", "features")  # of inputs; LiteRT sorts them by name


class Onnx:
    """An ONNX file that predicts any number of records at once.

    Attributes:
        inputs: each with its `name` and `shape`. output_shape: of the probabilities.
        metadata: what the file says about itself, a dict of strings.

    Raises:
        ValueError: not a whole ONNX file, or ONNX Runtime is not installed.
    """

    def __init__(self, path):
        runtime = _module("onnxruntime", path)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 0))  # as Ray says; 0: one for each core
        try:
            self.session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no class in common
            raise ValueError(f"{path} is damaged, or not an ONNX file: {error}") from error
        self.inputs = self.session.get_inputs()
        self.output_shape = self.session.get_outputs()[0].shape
        self.metadata = self.session.get_modelmeta().custom_metadata_map

    def predict_on_batch(self, inputs):
        """Probabilities `(records, classes)` of signals or tokens, or of a pair of signals and features."""
        return self.output(inputs, self.session.get_outputs()[0].name)

    def output(self, inputs, name):
        """One output by name: "attention" is there where the network has that layer, see `models.attention_of`."""
        pairs = zip(self.inputs, _several(inputs), strict=True)
        return self.session.run([name], {one.name: np.asarray(array, DTYPES[one.type]) for one, array in pairs})[0]


def over_time(attention):
    """How much each step of time counts `(batch, steps)`; the steps of a record sum to one.

    Of scores of every step for every other `(batch, heads, steps, steps)`, the mean over heads and what attends.
    """
    return attention.mean(axis=(1, 2)) if attention.ndim == 4 else attention[..., 0]


class LiteRT:
    """A `.tflite` file, which predicts one record after the other."""

    def __init__(self, path):
        litert = _module("ai_edge_litert.interpreter", path)
        self.run = litert.Interpreter(str(path), num_threads=os.cpu_count()).get_signature_runner()
        details = self.run.get_input_details()
        self.inputs = {name: details[name]["dtype"] for name in ORDER if name in details}

    def predict_on_batch(self, inputs):
        """What `Onnx.predict_on_batch` gives."""
        arrays = [np.asarray(one, dtype) for one, dtype in zip(_several(inputs), self.inputs.values(), strict=True)]
        return np.concatenate([self._predict(*(one[row : row + 1] for one in arrays)) for row in range(len(arrays[0]))])

    def _predict(self, *inputs):
        return self.run(**dict(zip(self.inputs, inputs, strict=True)))["probabilities"]


def _several(inputs):
    return inputs if isinstance(inputs, list | tuple) else [inputs]


def _module(name, path):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"{path} needs {error.name}: pip install -r requirements-apps.txt") from error
