"""The model that a command line names: a folder, a result of the store, or a row of an experiment."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from ddb.errors import DDBError
from ddb.experiment import config_file
from ddb.experiment.explain import find
from ddb.experiment.graph import build_graph
from ddb.models import Model, load_model
from ddb.models.export import export_model
from ddb.models.model import PREPROCESSING
from ddb.settings import unknown
from ddb.store import Store

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Folder of a model, key of a classifier, or configuration with --method.")
]
MethodOption = Annotated[str | None, typer.Option("--method", metavar="ROW", help="Of a configuration: which row.")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Of a configuration: which seed; default: the first.")]


def found_model(name: str, method: str | None, seed: int | None, store: Store) -> Model:
    """The model on a GPU, if there is one. Raises DDBError that says what can be named."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if (Path(name) / PREPROCESSING).exists():
        return load_model(name).to(device)
    result, weights = found_result(name, method, seed, store)
    with TemporaryDirectory() as folder:
        return export_model(store, result, weights, Path(folder)).to(device)


def found_result(name: str, method: str | None, seed: int | None, store: Store) -> tuple[Path, str]:
    """The folder of a finished classifier, and the setting that says where its encoder's weights are."""
    if method is None and seed is None:
        if Path(name).suffix in (".yaml", ".yml") or name in config_file.names():
            raise DDBError(f"{name}: is a configuration; name one of its rows with --method")
        if os.sep in name and not Path(name).exists() and not (store.root / name).exists():
            raise DDBError(f"{name}: no such folder")
        result = find(store, name)
        if result.parent.name != "classifier":
            raise DDBError(f"{name}: is a result of the stage {result.parent.name}; name one of classifier")
        return result, "pretrained"
    graph = build_graph(config_file.load(name))
    rows = dict.fromkeys(cell.method for cell in graph.cells)
    if method not in rows:
        raise DDBError(f"--method {method}: no such row; {unknown(method or '', list(rows))}")
    cells = [cell for cell in graph.cells if cell.method == method and seed in (None, cell.seed)]
    if not cells:
        raise DDBError(f"--seed {seed}: the experiment has {', '.join(map(str, graph.config.seeds))}")
    if not store.has(cells[0].classifier):
        raise DDBError(f"{name}: the classifier of {method}, seed {cells[0].seed}, is not finished in {store.root}")
    return store.path(cells[0].classifier), cells[0].config.features.weights
