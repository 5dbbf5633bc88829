"""`ddb data list`: the data sets by name."""

from rich.table import Table
from rich.text import Text

from ddb.data import BENCHMARKS, DataMissing, FilesConfig, data_root, dataset_settings
from ddb.data.files import data_home
from ray_jobs.output import out

EXAMPLE = "ddb data list"


def data_list() -> None:
    """The data sets by name: what papers compare on them, whether they are here, and where they are looked for."""
    view = Table("name", "metric", "present", "where")
    for name, benchmark in BENCHMARKS.items():
        if name == "colored_digits":
            present, where = Text("yes", "green"), "built in"
        elif not benchmark.places:
            present, where = "–", "any folder: ddb data describe DIR"
        else:
            try:
                settings = dataset_settings({"name": name})
                assert isinstance(settings, FilesConfig)
                present, where = Text("yes", "green"), str(data_root(settings))
            except DataMissing:
                present = Text("no", "yellow")
                where = " or ".join(str(data_home() / place) for place in benchmark.places)
        view.add_row(name, benchmark.metric, present, where)
    out.print(view)
