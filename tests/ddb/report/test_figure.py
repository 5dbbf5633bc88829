import numpy as np
import pytest
from PIL import Image

from ddb.data import BiasedDataset, Split
from ddb.errors import DDBError
from ddb.report import figure
from ddb.report.figure import draw
from tests.ddb.report.conftest import add_figure_stages, finish


def metrics(conflicting):
    return {
        "average_accuracy": conflicting + 0.02,
        "aligned_accuracy": 1.0,
        "conflicting_accuracy": conflicting,
        "worst_group_accuracy": conflicting - 0.25,
    }
