"""The overview figure: every panel drawn from results, and what it says where there are none."""

import numpy as np
import pytest
from PIL import Image

from ddb.artifacts import Stage
from ddb.data import BiasedDataset, Split, prepared
from ddb.errors import DDBError
from ddb.experiment import AmplifierRun
from ddb.report import figure
from ddb.report.figure import draw


def metrics(conflicting):
    return {
        "average_accuracy": conflicting + 0.02,
        "aligned_accuracy": 1.0,
        "conflicting_accuracy": conflicting,
        "worst_group_accuracy": conflicting - 0.25,
    }


@pytest.fixture
def texts(monkeypatch):
    """Everything that is written in the figure, collected as it is saved."""
    found = []
    save = figure.Figure.savefig

    def savefig(self, *arguments, **options):
        save(self, *arguments, **options)
        found.extend(item.get_text() for item in self.findobj(figure.matplotlib.text.Text) if item.get_text())

    monkeypatch.setattr(figure.Figure, "savefig", savefig)
    return found


def test_a_finished_plan_is_one_legible_picture(figured, tmp_path, texts):
    reached = {"erm": 0.64, "ddb_two_step": 0.79, "ddb_two_step_error_set": 0.78, "ddb_end_to_end": 0.77}
    for method, conflicting in reached.items():
        for seed in range(3):
            figured.add(method, seed, metrics(conflicting + 0.01 * seed), guidance=None if method == "erm" else 1.0)
    for seed in range(3):
        figured.add("ddb_end_to_end_joint", seed, metrics(0.75) if seed < 2 else None, guidance=1.0)
    figured.store.fail(figured.cells[-1].stage, "out of memory")
    figured.store.fail(figured.add("group_dro", 0), "out of memory")
    path = tmp_path / "new" / "figure.png"
    draw(figured, figured.store, path)

    with Image.open(path) as image:
        image.load()
        height = figure.TOP_HEIGHT + figure.MARGIN_HEIGHT + 6 * figure.ROW_HEIGHT
        assert image.format == "PNG"
        assert image.size == (1800, round(height * figure.DPI))
        assert np.asarray(image.convert("L")).std() > 10
    for part in (
        "real, aligned\n(95.0% of them)",
        "real, conflicting\n(5.0% of them)",
        "synthetic, w = 0\n(scale 1)\n97.8% aligned",
        "synthetic, w = 1\n(scale 2)\n99.8% aligned",
        "all 65 conflicting images",
        "trained on real images (3 seeds)",
        "80.0",  # ddb_two_step: (79 + 80 + 81) / 3
        "ddb_end_to_end_joint\n2/3 seeds, 1 failed",
        "group_dro\n0/1 seeds, 1 failed",
        "no seed is finished",
    ):
        assert part in texts, part


def test_before_anything_has_run_every_panel_says_what_is_missing(fake, tmp_path, texts):
    fake.add("erm", 0)
    draw(fake, fake.store, tmp_path / "figure.png")
    for part in ("the data set is not prepared yet", "no amplifier is finished yet", "no method is finished yet"):
        assert part in texts


def test_half_a_run_shows_its_half(figured, tmp_path, texts):
    figured.synthetic = {}
    figured.amplifiers = {key: run for key, run in figured.amplifiers.items() if run.source == "synthetic"}
    figured.add("erm", 0, metrics(0.6))
    draw(figured, figured.store, tmp_path / "figure.png")
    assert "no synthetic set is finished yet" in texts
    assert any("no amplifier trained on real images is finished" in text for text in texts)


def test_without_bias_labels_only_the_average_is_shown(fake, dataset, tmp_path, texts):
    splits = {name: Split(split.images, split.labels, split.paths) for name, split in dataset.splits.items()}
    fake.add("erm", 0, {"average_accuracy": 0.5186})
    with fake.store.produce(fake.data) as work:
        prepared.write(BiasedDataset("mine", dataset.classes, {}, splits), work.result)
    point = {"step": 1, "epoch": 1.0, "errors": 3, "conflicting_errors": None, "conflicting_total": None}
    fake.amplify(0, curve=[point])
    draw(fake, fake.store, tmp_path / "figure.png")
    assert "51.9" in texts and "average" in texts and "real" in texts
    assert "the bias of this data set is not labelled" in texts
    assert not {"aligned", "conflicting", "worst group"} & set(texts)


def test_an_unwritable_path_is_one_clear_error(fake, tmp_path):
    fake.add("erm", 0)
    (tmp_path / "file").touch()
    with pytest.raises(DDBError, match=r"figure .* cannot be written"):
        draw(fake, fake.store, tmp_path / "file" / "figure.png")


def test_rows_that_differ_in_a_varied_setting_are_told_apart(fake, tmp_path, texts):
    fake.add("erm", 0, metrics(0.6), settings={"amplifier.steps": None})
    for steps in (20, 300):
        fake.add("ddb_two_step", 0, metrics(0.7), guidance=1.0, settings={"amplifier.steps": steps})
    draw(fake, fake.store, tmp_path / "figure.png")
    assert {"erm", "ddb_two_step, amplifier steps 20", "ddb_two_step, amplifier steps 300"} <= set(texts)


def test_a_name_is_text_and_no_formula(fake, tmp_path, texts):
    fake.add("$\\bad_{$", 0, metrics(0.6))
    draw(fake, fake.store, tmp_path / "figure.png")
    assert "$\\bad_{$" in texts


def test_a_pdf_where_the_path_says_so_the_same_bytes_each_time(fake, tmp_path):
    fake.add("erm", 0, metrics(0.6))
    for name in ("a.pdf", "b.pdf", "a.png", "b.png"):
        draw(fake, fake.store, tmp_path / name)
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and pdf == (tmp_path / "b.pdf").read_bytes() and b"CreationDate" not in pdf
    png = (tmp_path / "a.png").read_bytes()
    assert png.startswith(b"\x89PNG") and png == (tmp_path / "b.png").read_bytes()


def test_the_first_data_sets_first_amplifier_of_each_seed_is_drawn(fake, tmp_path, monkeypatch):
    """Seed 0: 4 of 8 left; seed 1: 2. Later amplifiers of these seeds, and those of another data set, are not drawn."""
    fake.add("erm", 0)
    for seed, left in ((0, 4), (1, 2)):
        fake.amplify(seed, fake.draw(seed, 1.0), curve=fake.curve([left], 8))
        fake.amplify(seed, fake.draw(seed, 3.0), curve=fake.curve([8], 8))
    other = Stage("amplifier", {"amplifier": {"source": "synthetic"}}, 1, {"data": Stage("data", {"seed": 9}, 1)})
    fake.amplifiers[other.key] = AmplifierRun("synthetic", 5, other)
    fake.finish(other, curve=fake.curve([7], 8))
    found = []
    save = figure.Figure.savefig
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *a, **k: (found.extend(self.axes), save(self, *a, **k)))
    draw(fake, fake.store, tmp_path / "figure.png")
    lines = [line for axes in found for line in axes.get_lines() if line.get_label().startswith("trained on")]
    assert [(line.get_label(), list(line.get_ydata())) for line in lines] == [
        ("trained on synthetic images (2 seeds)", [3.0])
    ]
