"""Planning and tables do without torch, which takes seconds to import."""

import subprocess
import sys

PROGRAM = """
import sys
import ray_jobs.cli
from ddb.store import Store
from ddb.experiment.config_file import load
from ddb.experiment.graph import build_graph
from ddb.experiment.results import Results
from ddb.report import render, rows
graph = build_graph(load("configs/ablations/guidance.yaml"))
assert len(graph.stages()) > 100
render(rows(Results(graph, Store(sys.argv[1]))), "markdown")
print([name for name in ("torch", "torchvision", "sklearn", "scipy", "ray", "matplotlib") if name in sys.modules])
"""


def test_a_plan_and_its_table_import_nothing_heavy(tmp_path):
    result = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
