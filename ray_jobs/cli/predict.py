"""`ddb predict`: what a trained classifier says of images."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from ddb.errors import DDBError
from ddb.store import Store
from ray_jobs.cli.arguments import STORE, StoreOption
from ray_jobs.cli.models import MethodOption, ModelArgument, SeedOption, found_model
from ray_jobs.output import err, news, out

EXAMPLE = "ddb predict my_model my_images --output predictions.csv"
SHOWN = 10  # broken files that are named

Images = Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Folders, files, or a CSV with a column file.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="CSV; a Parquet file is written beside it.")]


def predict(
    model: ModelArgument,
    images: Images,
    output: Output = Path("predictions.csv"),
    method: MethodOption = None,
    seed: SeedOption = None,
    store: StoreOption = STORE,
) -> None:
    """Class, probability and, where the Bias Amplifier is known, conflict score of each image.

    The conflict score is 1 minus the probability that the Bias Amplifier gives to
    the predicted class: high where the prediction is not what the bias suggests.
    Files that cannot be read are named and left out; then the exit code is 1.
    """
    from ddb.models.predict import files
    from ddb.models.predict import predict as predict_files

    if output.suffix.lower() != ".csv":
        raise DDBError(f"--output {output}: must end in .csv; the Parquet file is written beside it")
    wanted = files(images)
    found = found_model(model, method, seed, Store(store))
    with Progress(console=err, transient=True, disable=not news.is_terminal or news.quiet) as bar:
        task = bar.add_task("predicting", total=len(wanted))
        table, broken = predict_files(found, wanted, lambda done, total: bar.update(task, completed=done))
    for error in broken[:SHOWN]:
        err.print(f"left out: {error}", style="yellow")
    if len(broken) > SHOWN:
        err.print(f"left out: and {len(broken) - SHOWN} more", style="yellow")
    if found.amplifier is None:
        news.print("no conflict scores: the source of signals of this classifier left no network")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(output, index=False)
        table.to_parquet(output.with_suffix(".parquet"), index=False)
    except OSError as error:
        raise DDBError(f"--output {output}: {error.strerror}") from None
    counts = ", ".join(f"{name}: {number}" for name, number in table["class"].value_counts().items())
    news.print(f"{len(table)} images ({counts})")
    for path in (output, output.with_suffix(".parquet")):
        out.print(str(path))
    raise typer.Exit(1 if broken else 0)
