"""Models that are taken away give what their stages gave, here and in other programs, from image files."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ddb.data import prepared
from ddb.data.loading import ImageTransform
from ddb.errors import DDBError
from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph
from ddb.features import table
from ddb.models import load_model
from ddb.models.export import export_model
from ddb.models.predict import files, predict
from ddb.signals.amplifier import AmplifierSettings, compute_signals
from ddb.store import Store
from ddb.training import predictions
from ddb.training.classifier import load_classifier
from ray_jobs.cli import app
from tests.ddb.features.conftest import compute, finished, values  # noqa: F401  # fixtures

FORMATS = ("onnx", "pt2")


@pytest.fixture(scope="module")
def pixels(values, tmp_path_factory):  # noqa: F811
    """An experiment on pixels with real images as the amplifier's, whose targets see them larger than the CDPM."""
    changes = {"training": {"network": "small_cnn", "steps": 4, "batch_size": 16, "image_size": 40},
               "amplifier": {"source": "real", "network": "small_cnn", "steps": 4, "image_size": 24},
               "dataset": values["dataset"] | {"image_size": 16},
               "methods": {"erm": {"image_size": None}, "ddb_two_step": {}}}  # fmt: skip
    values = {name: value for name, value in values.items() if name != "features"} | changes
    graph, store = build_graph(resolve(values)), Store(tmp_path_factory.mktemp("pixels"))
    compute(graph, store)
    return graph, store


def cell_of(graph, method):
    return next(cell for cell in graph.cells if cell.method == method)


def exported(made, method, directory, weights="pretrained", formats=FORMATS):
    graph, store = made
    return export_model(store, store.path(cell_of(graph, method).classifier), weights, directory, formats)


def held_out(made):
    """The test images from their files, and their split."""
    graph, store = made
    split = prepared.read(store.path(graph.data))["test"]
    return [Image.open(split.root / path).convert("RGB") for path in split.paths], split


@pytest.mark.parametrize("method", ["erm", "ddb_two_step"])
def test_every_format_gives_the_logits_of_the_evaluation_from_image_files(pixels, method, tmp_path):
    """erm sees images of the CDPM's size, ddb_two_step larger ones."""
    graph, store = pixels
    model = exported(pixels, method, tmp_path)
    pictures, split = held_out(pixels)
    stored = predictions.read(store.path(cell_of(graph, method).stage) / "predictions.parquet", "test")
    logits = np.stack(stored["logits"])  # (T, C)
    images = torch.stack([model.preprocess(picture) for picture in pictures])
    with torch.no_grad():
        ours = model.network(images).numpy()
        program = torch.export.load(tmp_path / "model.pt2").module()(images).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for found in (ours, program, session.run(["logits"], {"images": images.numpy()})[0]):
        assert found == pytest.approx(logits, abs=1e-4)
    one = session.run(["logits"], {"images": images[:1].numpy()})[0]  # a batch of any size
    assert one == pytest.approx(logits[:1], abs=1e-4)
    assert model(pictures).sum(1) == pytest.approx(1, abs=1e-5) and list(stored["path"]) == list(split.paths)


def test_encoder_and_head_are_exported_as_one_network(finished, values, tmp_path):  # noqa: F811
    graph, store = finished
    stage = cell_of(graph, "erm").classifier
    model = exported(finished, "erm", tmp_path, values["features"]["weights"])
    dataset = prepared.read(store.path(graph.data))
    test = table.with_features(dataset, store.path(stage.inputs["features"]))["test"]
    with torch.no_grad():
        expected = load_classifier(store.path(stage))(torch.from_numpy(np.array(test.images))).numpy()
    images = torch.stack([model.preprocess(picture) for picture in held_out(finished)[0]])
    with torch.no_grad():
        assert model.network(images).numpy() == pytest.approx(expected, abs=1e-3)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert session.run(["logits"], {"images": images.numpy()})[0] == pytest.approx(expected, abs=1e-3)
    assert model.amplifier is None  # a closed form leaves no network


def test_the_amplifier_judges_files_as_it_judged_the_real_images(pixels, tmp_path):
    graph, store = pixels
    model = exported(pixels, "ddb_two_step", tmp_path, formats=())
    stage = cell_of(graph, "ddb_two_step").classifier.inputs["amplifier"]
    settings = AmplifierSettings.model_validate(stage.config["amplifier"])
    pictures, split = held_out(pixels)
    expected = compute_signals(load_classifier(store.path(stage)), split, settings.transform())
    assert model.amplifier and isinstance(settings.transform(), ImageTransform)
    assert model.amplifier(pictures) == pytest.approx(np.exp(expected.log_probabilities), abs=1e-4)
    rows, broken = predict(model, [split.root / path for path in split.paths], lambda done, total: None)
    assert not broken and list(rows.columns) == ["file", "class", "probability", "conflict_score"]
    own = model(pictures)
    score = 1 - np.exp(expected.log_probabilities)[np.arange(len(own)), own.argmax(1)]
    assert rows["conflict_score"].to_numpy() == pytest.approx(score, abs=1e-4)


def test_the_card_names_data_groups_metrics_limits_and_result(pixels, tmp_path):
    graph, store = pixels
    exported(pixels, "erm", tmp_path, formats=("pt2",))
    text, stage = (tmp_path / "README.md").read_text(), cell_of(graph, "erm")
    metrics = json.loads((store.path(stage.stage) / "metrics.json").read_text())
    average = f"| average accuracy | {100 * metrics['average_accuracy']:.1f} |"
    known = ("# erm, folder", "Classes: cat, dog", "No bias labels were known", average, "model.pt2")
    for what in (*known, f"classifier/{stage.classifier.key}"):
        assert what in text
    assert str(Path(graph.config.dataset.root)) not in text  # a path of the machine that trained it


def test_other_weights_than_those_of_the_training_are_refused(finished, tmp_path):  # noqa: F811
    torch.save({}, tmp_path / "other.pt")
    with pytest.raises(DDBError, match="other weights than those that the classifier was trained with"):
        exported(finished, "erm", tmp_path, str(tmp_path / "other.pt"))
    with pytest.raises(DDBError, match=r"no model in .*: preprocessing\.json is missing; ddb export-model makes one"):
        load_model(tmp_path / "nowhere")


def ddb(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_result_and_a_folder_predict_the_same_and_broken_files_are_named(pixels, tmp_path):
    graph, store = pixels
    key = cell_of(graph, "erm").classifier.key
    root = Path(graph.config.dataset.root)
    (tmp_path / "images").mkdir()
    Image.open(next(root.rglob("*.png"))).save(tmp_path / "images" / "a.png")
    (tmp_path / "images" / "b.png").write_bytes(b"")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    (tmp_path / "list.csv").write_text("file,split\nimages/a.png,train\n")
    made = ddb("export-model", key, "--output", tmp_path / "model", "--store", store.root)
    assert made.exit_code == 0 and f"{tmp_path}/model/README.md" in made.output.replace("\n", "")
    tables = []
    for model in (key, tmp_path / "model"):
        for images in (tmp_path / "images", tmp_path / "list.csv"):
            output = tmp_path / "made" / "found.csv"
            said = ddb("predict", model, images, "--output", output, "--store", store.root)
            broken = images.is_dir()
            assert said.exit_code == (1 if broken else 0), said.output
            assert ("left out: " in said.output and "b.png: an empty file" in said.output.replace("\n", "")) == broken
            tables.append(pd.read_csv(output))
            pd.testing.assert_frame_equal(
                pd.read_parquet(output.with_suffix(".parquet")), tables[-1], check_dtype=False
            )
    assert all(list(each["file"]) == [f"{tmp_path}/images/a.png"] for each in tables)
    assert all(np.allclose(each["probability"], tables[0]["probability"]) for each in tables)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere", None, "nowhere: no such file or folder"),
        ("list.csv", "name\na.png\n", "needs a column of paths, named file, file_name or path"),
        ("list.csv", "file,split\na.png\n", "line 2 has 1 values"),
        ("notes", "", "notes: no images"),
    ],
)
def test_what_holds_no_images_is_refused_with_the_reason(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_text(content) if name.endswith(".csv") else path.mkdir()
    with pytest.raises(DDBError, match=message):
        files([path])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["colored_digits", "."], "colored_digits: is a configuration; name one of its rows with --method"),
        (["nowhere/model", "."], "nowhere/model: no such folder"),
        (
            ["a model", ".", "--output", "found.parquet"],
            "--output found.parquet: must end in .csv; the Parquet file is",
        ),
    ],
)
def test_a_wrong_model_or_output_is_refused_with_the_way_out(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("a.png")
    assert str(ddb("predict", *arguments, "--store", tmp_path / "runs").exception).startswith(message)
