"""The scripts that stand behind numbers in `results/`, as modules: tests use the helpers that they define."""

import runpy
from pathlib import Path
from types import SimpleNamespace

RESULTS = Path(__file__).parent.parent / "results"


def study(name: str) -> SimpleNamespace:
    """What `results/<name>/study.py` defines."""
    return SimpleNamespace(**runpy.run_path(str(RESULTS / name / "study.py")))
