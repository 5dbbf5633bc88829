"""An experiment in this one process, without Ray: one stage after the other, on a GPU where torch sees one.

    python -m ddb.local configs/colored_digits.yaml seeds=[0] --only synthetic

For a machine that has no Ray, and for a debugger. Results have the keys that `ddb run` gives them, so either goes on
where the other stopped; a CDPM's TensorBoard files are not written. One process does all, whatever
`resources.cdpm_workers` and `sampling_actors` say, and nothing is resumed within a stage.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import torch

from ddb.config_file import load
from ddb.errors import DDBError
from ddb.experiment import plan
from ddb.stages import KINDS
from ddb.stages.kind import Job, Machine
from ddb.store import Stage, Store
from ddb.store.record import device_name

EVERY = 10.0  # seconds between two lines of progress


def run(config: Path, settings: list[str], store: Store, only: str | None) -> None:
    """Compute what is missing. Raises DDBError where a setting or a stage fails."""
    graph = plan(load(config, settings))
    machine = Machine("cuda" if torch.cuda.is_available() else "cpu", torch.get_num_threads())
    stages, computed = graph.stages(only), 0
    if not stages:
        names = ", ".join(dict.fromkeys(stage.name for stage in graph.stages()))
        raise DDBError(f"--only: no stage {only!r} in this experiment; it has {names}")
    for stage in stages:
        if reason := graph.lacks_data(stage):
            raise DDBError(reason)
        with store.produce(stage, timeout=0) as work:
            if work is None:
                continue
            began, shown = time.time(), [0.0]

            def progress(step: int, total: int, numbers: dict, stage: Stage = stage, shown: list = shown) -> None:
                if time.monotonic() - shown[0] > EVERY:
                    shown[0] = time.monotonic()
                    loss = f", loss {numbers['loss']:.3f}" if "loss" in numbers else ""
                    sys.stdout.write(f"{stage.name} {stage.key}: {step}/{total}{loss}\n")
                    sys.stdout.flush()

            job = Job(stage, store, work, progress, machine, graph.config.resources.sampling_batch)
            work.numbers.update(KINDS[stage.name].compute(job))
            work.numbers["device"] = device_name()
        computed += 1
        sys.stdout.write(f"{stage.name} {stage.key}: {time.time() - began:.0f} s\n")
    sys.stdout.write(f"{len(stages)} stages in {store.root}, {computed} of them computed now\n")


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="python -m ddb.local", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--store", type=Path, default=Path(os.environ.get("DDB_STORE", "runs")))
    parser.add_argument("--only", help="stages of this name, and their inputs")
    arguments = parser.parse_intermixed_args()  # settings may also come after options
    try:
        run(arguments.config, arguments.settings, Store(arguments.store), arguments.only)
    except DDBError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the stages that are finished are kept")


if __name__ == "__main__":
    main()
