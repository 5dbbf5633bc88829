"""`ddb export-model`: a trained classifier as a folder that works elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from ddb.errors import DDBError
from ddb.store import Store
from ray_jobs.cli.arguments import STORE, StoreOption
from ray_jobs.cli.models import MethodOption, ModelArgument, SeedOption, found_result
from ray_jobs.output import out

EXAMPLE = "ddb export-model colored_digits --method ddb_end_to_end --output my_model --format onnx"
FORMATS = ("onnx", "pt2")

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the model.")]
Format = Annotated[
    list[str] | None,
    typer.Option("--format", help="Besides safetensors: onnx, or pt2 of torch.export; repeatable."),
]


def export_model(
    model: ModelArgument,
    output: Output,
    method: MethodOption = None,
    seed: SeedOption = None,
    format: Format = None,
    store: StoreOption = STORE,
) -> None:
    """Weights, preprocessing and a model card as a folder for `ddb predict`; ONNX and torch.export if asked for."""
    from ddb.models.export import export_model as export

    for name in format or []:
        if name not in FORMATS:
            raise DDBError(f"--format {name}: unknown; known: {', '.join(FORMATS)}")
    opened = Store(store)
    result, weights = found_result(model, method, seed, opened)
    export(opened, result, weights, output, tuple(dict.fromkeys(format or [])))
    for path in sorted(output.rglob("*")):
        if path.is_file():
            out.print(str(path))
