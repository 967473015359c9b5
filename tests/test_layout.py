"""The layers: a file imports only from those above its own, and few files need Keras."""

import ast
import re
import sys

import pytest

import dataset

LAYERS = [
    "wfdb_files downloads writing logs processes blocks",
    "dataset settings records preprocessing beats tokens balance augmentation references losses optimizers metrics"
    " rhythms paper plots architecture runtimes archive uploads meanings charts",
    "cutting faults messages models",
    "data_ptbxl data_mitbih data_heartbeat data_demo",
    "recipes inputs",
    "card batches state hosts spaces",
    "training predict attribution report assessment trials",
    "explain readings oracles search",
    "tune evaluate export serve app",
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names.split()}
PACKAGES = {"sklearn": "scikit-learn", "pywt": "pywavelets", "pydantic": "fastapi", "starlette": "fastapi"}  # by module
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
    networks = {"blocks", "references", "models", "losses", "optimizers"}
    assert keras <= networks | {"batches", "state", "hosts", "training", "attribution"}


def ranges(path):
    """Version ranges by package of a file of requirements, without its comments and extras."""
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [re.match(r"([\w-]+)(?:\[\w+\])?([<>=].*)", line) for line in lines if line and not line.startswith("-r")]
    return {pair[1]: pair[2] for pair in pairs}


def test_a_package_has_the_same_range_in_all_requirements():
    known = {}
    for path in sorted(dataset.HERE.glob("requirements*.txt")):
        for package, versions in ranges(path).items():
            assert known.setdefault(package, versions) == versions, f"{package} in {path.name}"


def test_the_service_needs_only_what_its_requirements_name():
    waiting, needed = ["serve"], set()
    while waiting:
        names = set(imported(FILES[waiting.pop()].body)) - needed
        needed |= names
        waiting += names & set(FILES)
    packages = {PACKAGES.get(name, name) for name in needed - set(FILES) - sys.stdlib_module_names}
    assert {"numpy", "fastapi"} <= packages <= set(ranges(dataset.HERE / "requirements-serve.txt"))
