"""`ddb status`: how far an experiment is. It reads the store and works while a run goes on."""

from rich.style import Style

from ddb import progress
from ddb.experiment import config_file
from ddb.experiment.graph import Graph, build_graph
from ddb.store import Stage, Store
from ray_jobs.cli.arguments import STORE, ConfigArgument, Overrides, StoreOption
from ray_jobs.output import out
from slurm import queue

EXAMPLE = "ddb status configs/colored_digits.yaml"


def status(config: ConfigArgument, overrides: Overrides = None, store: StoreOption = STORE) -> None:
    """Which stages are done, under way, failed or missing, and the SLURM jobs (of a search only these)."""
    search = "sweep" in config_file.read_file(config)
    graph, opened = None if search else build_graph(config_file.load(config, overrides)), Store(store)
    jobs = queue.states(opened.root, config)
    for line in jobs:
        out.print(line)
    if graph:
        show_stages(graph, opened)
    elif not jobs:
        out.print(f"no SLURM job is known of the search {config}")


def show_stages(graph: Graph, store: Store, only: str | None = None) -> set[str]:
    """Print every stage with its state and its place in the store; keys of the finished ones."""
    from ddb.report.titles import stage_titles

    stages, names = graph.stages(only), stage_titles(graph)
    finished = store.finished(stages)
    lines = [("stage", "state", "", "artifact")]
    for stage in stages:
        state, color = ("done", "green") if stage.key in finished else _unfinished(stage, store)
        lines.append((names[stage.key], state, color, f"{stage.name}/{stage.key}"))
    first, second = (max(len(line[i]) for line in lines) for i in (0, 1))
    # By rich, 20,000 lines take longer than everything else together.
    text = (f"{n:{first}}  {_colored(f'{state:{second}}', color)}  {place}" for n, state, color, place in lines)
    out.file.write("\n".join(text) + "\n")
    return finished


def _unfinished(stage: Stage, store: Store) -> tuple[str, str]:
    """State of a stage that is not done, and its colour."""
    if store.failure(stage) is not None:
        return "failed", "red"
    report = progress.read(store.work_path(stage))
    how_far = f", {progress.describe(report)}" if report else ""
    if store.interrupted(stage):
        return f"interrupted{how_far}", "yellow"
    return (f"begun{how_far}", "cyan") if report else ("missing", "")


def _colored(text: str, color: str) -> str:
    return Style.parse(color).render(text) if color and out.color_system else text
