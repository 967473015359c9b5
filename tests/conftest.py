"""What several test files share: synthetic records, the real databases, and hypothesis where it is installed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny_wfdb

import dataset


@pytest.fixture(scope="session")
def ptbxl():
    """Folder of the real PTB-XL, whole or in part; tests that ask for it carry the marker `real_data`."""
    folder = dataset.folder("ptbxl")
    if not (folder / "ptbxl_database.csv").exists():
        pytest.skip(f"no PTB-XL in {folder}; ECG_DATA can name the folder that holds ptbxl/")
    return folder


@pytest.fixture(scope="session")
def whole_ptbxl(ptbxl):
    """The same, if it has all the records that published counts are about."""
    count = len(pd.read_csv(ptbxl / "ptbxl_database.csv"))
    if count != 21799:
        pytest.skip(f"the counts are of all 21,799 records, but {ptbxl} has {count:,}")
    return ptbxl


@pytest.fixture(scope="session")
def mitdb():
    """Folder of the real MIT-BIH Arrhythmia Database, whole; tests that ask for it carry the marker `real_data`."""
    folder = dataset.folder("mitdb")
    if len(list(folder.glob("???.atr"))) != 48:
        pytest.skip(f"no MIT-BIH of 48 records in {folder}; ECG_DATA can name the folder that holds mitdb/")
    return folder


@pytest.fixture(scope="session")
def hypothesis():
    """Hypothesis, quick and the same in every run; a test that asks for it is skipped where it is not installed."""
    module = pytest.importorskip("hypothesis")
    module.settings.register_profile("quick", max_examples=25, deadline=None, derandomize=True)
    module.settings.load_profile("quick")
    return module


@pytest.fixture(scope="session")
def demo():
    """Sixty synthetic records."""
    return dataset.load("demo", records=60)


@pytest.fixture(scope="session")
def trained(demo, tmp_path_factory):
    """The folder of a finished tiny run."""
    from tiny_runs import TINY

    import training  # here, since it brings Keras, which most tests do without

    folder = tmp_path_factory.mktemp("run")
    training.train(TINY, demo, folder)
    return folder


@pytest.fixture(scope="session")
def demo_of_one_class(demo):
    """The same records, each of the last of its classes."""
    last = demo.labels.shape[1] - 1 - demo.labels[:, ::-1].argmax(axis=1)
    return replace(demo, labels=np.eye(5, dtype="float32")[last], multilabel=False)


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A folder with a tiny ONNX model of each kind that the service meets."""
    import tiny_serve  # here, since it skips what asks for it where the service's libraries are not installed

    return tiny_serve.write_models(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def client(served):
    """A client of the service over those models."""
    import tiny_serve

    with tiny_serve.client_of(served, "records") as client:
        yield client


@pytest.fixture
def record(tmp_path):
    """The path of a WFDB record of two leads and 3.5 s."""
    digital = np.random.default_rng(0).integers(0, 1000, (350, 2))
    tiny_wfdb.write(tmp_path, "record", digital)
    return tmp_path / "record"


@pytest.fixture
def beat_model():
    """A network that finds V where the first sample of a beat lies above zero, else N; and its card."""
    import keras

    import card as cards

    signals = keras.Input((30, 1), name="signals")
    high = keras.layers.Rescaling(100.0)(keras.layers.Cropping1D((0, 29))(signals))
    low = keras.layers.Rescaling(-1.0)(high)
    both = keras.layers.Flatten()(keras.layers.Concatenate()([low, high]))
    model = keras.Model(signals, keras.layers.Softmax(name="probabilities")(both))
    cutting = {"task": "beats", "window": [0.1, 0.2], "band": [], "causal": False}
    return model, cards.Card(("N", "V"), False, ("MLII/V5",), 100, 30, cutting=cutting)
