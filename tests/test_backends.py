"""TensorFlow, JAX and PyTorch: the same loss from the same weights, and files that open under each."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from tiny_runs import ROOT

BACKENDS = {"tensorflow": "tensorflow", "torch": "torch", "jax": "jax"}  # to the module that it needs
SYSTEMS = ("residual_bilstm",)  # on_backend.py takes the other networks too; together they take two minutes


def run(backend, folder):
    """What `on_backend.py` tells of networks."""
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    words = [sys.executable, str(ROOT / "tests" / "on_backend.py"), str(folder), *SYSTEMS]
    ran = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    with np.load(folder / f"{backend}.npz") as told:
        return dict(told)


@pytest.mark.slow
def test_backends_agree_on_the_first_loss_and_open_each_others_files(tmp_path):
    there = [name for name, module in BACKENDS.items() if importlib.util.find_spec(module)]
    if len(there) < 2:
        pytest.skip(f"only {there} is installed")
    told = {backend: run(backend, tmp_path) for backend in there}
    first = told[there[0]]
    for backend, values in told.items():
        for name in SYSTEMS:
            assert values[f"loss of {name}"] == pytest.approx(first[f"loss of {name}"], abs=1e-4)
        for earlier in there[: there.index(backend)]:
            for name in SYSTEMS:
                for file in (f"{name}-{earlier}.h5", f"{name}-{earlier}.keras"):
                    np.testing.assert_allclose(values[file], told[earlier][file], atol=1e-5)
