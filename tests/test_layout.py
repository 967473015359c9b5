"""The layers: a file imports only from those above its own, and few files need Keras."""

import ast

import pytest

import dataset

LAYERS = [
    "wfdb_files downloads writing logs",
    "dataset records preprocessing beats tokens balance augmentation models losses metrics paper plots"
    " runtimes archive uploads meanings charts",
    "cutting messages",
    "data_ptbxl data_mitbih data_heartbeat data_demo",
    "recipes inputs",
    "card batches state",
    "training predict attribution report assessment",
    "explain readings",
    "tune evaluate export serve app",
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names.split()}
FILES = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in dataset.HERE.glob("*.py")}


def imported(nodes):
    """Names of the modules that these nodes of a syntax tree import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        if isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_a_layer_and_imports_only_from_those_above(name):
    assert name in LAYER, f"{name}.py is in no layer; give it one here and in ARCHITECTURE.md"
    ours = set(imported(ast.walk(FILES[name]))) & set(FILES)
    assert [other for other in ours if LAYER[other] >= LAYER[name]] == []


def test_only_files_that_build_or_train_networks_import_keras_at_the_top():
    keras = {name for name, tree in FILES.items() if {"keras", "tensorflow"} & set(imported(tree.body))}
    assert keras <= {"models", "losses", "batches", "state", "training", "attribution", "export"}
