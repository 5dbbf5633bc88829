"""Features of a folder of images by actors on a real local Ray, and the commands that are built on them."""

import contextlib
import json
import threading
import time

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torchvision import models

from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph
from ddb.features import table
from ddb.models import load_model
from ddb.stages import KINDS
from ddb.stages.kind import Job
from ddb.store import Store
from ray_jobs import audit, debias
from tests.ray_jobs.conftest import compute

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(600)]
NUMBER = 80


@pytest.fixture
def values(tmp_path, monkeypatch):
    """Bright and dark images; every tenth is in the folder of the others. An encoder with random weights."""
    monkeypatch.setenv("DDB_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for number in range(NUMBER):
        bright = number % 2
        label = bright if number % 10 else 1 - bright
        path = tmp_path / "images" / ("cat", "dog")[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((random.integers(0, 100, (40, 40, 3)) + 150 * bright).astype(np.uint8)).save(path)
    torch.manual_seed(0)
    torch.save(models.get_model("mobilenet_v3_small", weights=None).state_dict(), tmp_path / "weights.pt")
    return {
        "dataset": {"name": "folder", "root": str(tmp_path / "images"), "image_size": 16, "val_share": 0.3},
        "features": {"encoder": "mobilenet_v3_small", "weights": str(tmp_path / "weights.pt")},
        "amplifier": {"space": "features", "source": "lda", "components": 4},
        "training": {"network": "linear", "steps": 20, "batch_size": 16, "learning_rate": 0.01},
        "methods": {
            "erm": {},
            "ddb_two_step": {"safeguard": 1.0},
            "lff_ddb_safe": {"method": "lff_ddb", "temperature": "fitted", "safeguard": 0.5},
        },
        "memorisation": False,
        "seeds": [0, 1],
        "resources": {"sampling_actors": 1, "sampling_batch": 4},
    }


def test_a_killed_actor_changes_no_number(values, tmp_path, capacity):
    """The parts that it had written are kept; all is what one process computes."""
    graph = build_graph(resolve(values))
    stage, store, killed = graph.stages("features")[-1], Store(tmp_path / "runs"), []
    threading.Thread(target=kill_actor, args=(store, killed), daemon=True).start()
    outcome = compute(graph, store, capacity, only="features")
    assert killed and not outcome.failed, outcome.failed
    alone = Store(tmp_path / "alone")
    for each in graph.stages("features"):
        with alone.produce(each) as work:
            KINDS[each.name].compute(Job(each, alone, work, lambda *progress: None, sampling_batch=4))
    names = table.layers(store.path(stage))
    for name in names:
        tables = [pq.read_table(each.path(stage) / "train.parquet") for each in (store, alone)]
        found, expected = (table.vectors(each[name]) for each in tables)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert len(names) == 4


def kill_actor(store, killed):
    """Kill the actor with SIGKILL after it has written two parts."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if len(list(store.root.glob(".work/features/*/resume/parts/[0-9]*.parquet"))) >= 2:
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "FeatureEncoder" in " ".join(process.cmdline()):
                        process.kill()
                        killed.append(process.pid)
            return
        time.sleep(0.01)


def test_audit_and_debias_of_a_folder(values, tmp_path, on_the_sessions_ray):
    config, store = resolve(values).config, Store(tmp_path / "runs")
    result, paths = audit.run_audit(config, store, tmp_path / "audit")
    rows = pd.read_parquet(paths[0]).set_index("file_name")
    assert len(rows) == NUMBER and set(rows["split"]) == {"train", "val", "test"}
    wrong = np.array([int(name.split("/")[1].split(".")[0]) % 10 == 0 for name in rows.index])
    assert (rows["is_shortcut_conflict_issue"] == wrong).all()
    assert (rows[wrong]["suggestion"] == "check the label").mean() > 0.7  # they are in the wrong folder
    assert json.loads(paths[2].read_text())["flagged"] == NUMBER / 10
    assert "check the label" in paths[3].read_text() and result.evidence.flagged == sum(
        wrong & (rows["split"] == "val")
    )

    lines, (folder,) = debias.run_debias(config, store, tmp_path / "debias")
    assert lines[0].startswith("seed 0: safeguard: ") and any("test images, flagged" in line for line in lines)
    classifier = load_model(folder)
    pictures = [Image.open(tmp_path / "images" / name).convert("RGB") for name in ("dog/1.png", "cat/2.png")]
    assert classifier.classes == ("cat", "dog") and classifier(pictures).sum(1) == pytest.approx([1, 1])
