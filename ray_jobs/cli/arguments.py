"""Arguments and options that several commands share, and the experiment that they name."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ddb.errors import DDBError
from ddb.experiment import config_file
from ddb.store import Store
from ray_jobs.cli.completion import complete_config, complete_config_or_override, complete_override
from ray_jobs.output import free, news

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML file, as in configs/.", autocompletion=complete_config)
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change.", autocompletion=complete_override),
]
StoreOption = Annotated[Path, typer.Option("--store", envvar="DDB_STORE", help="Where results are kept.")]
STORE = Path("runs")
DirectoryOrConfig = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DIR|CONFIG [KEY=VALUE]...",
        help="Folder with a folder per class, or YAML file; settings.",
        autocompletion=complete_config_or_override,
    ),
]
DataOption = Annotated[Path | None, typer.Option("--data", help="A folder of images, one folder per class.")]
Space = Literal["features", "pixels"]  # where signals are found in a folder of images


def experiment_of(
    arguments: list[str] | None, data: Path | None, store: Path, space: Space = "pixels", keep: bool = True
) -> tuple[config_file.Experiment, str]:
    """The experiment of a configuration or a folder of images, and a name for files about it.

    For a folder, a configuration is chosen, which is printed and, with `keep`, written into the store.
    """
    arguments = list(arguments or [])
    if data is None and arguments and Path(arguments[0]).is_dir():
        data = Path(arguments.pop(0))
    if data is None:
        if not arguments or "=" in arguments[0]:
            raise DDBError("name a configuration (CONFIG) or a folder of images (DIR)")
        return config_file.load(arguments[0], arguments[1:]), Path(arguments[0]).stem
    if arguments and "=" not in arguments[0]:
        raise DDBError(f"{arguments[0]}: give either a configuration or --data")
    import torch

    from ddb import yaml_text
    from ddb.experiment.defaults import configuration_for, features_configuration_for

    chosen: dict = {}
    for override in arguments:  # of the data set, since they may say how the folder is to be read
        if override.startswith("dataset."):
            config_file.apply_override(chosen, override)
    if space == "features":
        values, reasons = features_configuration_for(data, chosen.get("dataset"))
    else:
        values, reasons = configuration_for(data, torch.cuda.is_available(), chosen.get("dataset"))
    for reason in reasons:
        news.print(reason)
    text, path = yaml_text.write(values), store / f"{data.absolute().name}.yaml"
    if keep:
        Store(store).open_to_write()
        path = free(path, lambda known: known.read_bytes() == text.encode())
        path.write_text(text, encoding="utf-8")
        news.print(f"chosen configuration: {path}")
    return config_file.resolve(values, arguments, path), path.stem
