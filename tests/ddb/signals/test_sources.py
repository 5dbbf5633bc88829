"""Sources of signals: what a file may say, how its mistakes are reported, and a source that a test defines."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.naive_bayes import GaussianNB

from ddb.data import Split, load_dataset
from ddb.data.colored_digits import ColoredDigitsConfig
from ddb.errors import DDBError
from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph
from ddb.signals import SOURCES
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.closed_form import fitted
from ddb.signals.cross_fit import folds
from ddb.signals.gaussian import ShrunkGaussian
from ddb.signals.registry import Found, source
from ddb.signals.table import Signals, signal_quality
from ddb.signals.xrm import class_balanced, flipped
from ddb.stages import KINDS
from ddb.stages.kind import Job
from ddb.store import Store
from ddb.training.loop import Context

CLOSED, TRAINED = ("class_mean", "lda", "gaussian"), ("cross_fit", "gce", "xrm")
VALUES = {"dataset": {"image_size": 8}, "memorisation": False, "methods": {"ddb_two_step": {"steps": 3}}}


@pytest.fixture(scope="module")
def dataset():
    return load_dataset(ColoredDigitsConfig(image_size=8))


@pytest.fixture
def scores(dataset, tmp_path):
    """A function that writes the scores of all training images with changes, and returns the file's path."""

    def write(name="scores.csv", rows=None, **columns):
        train = dataset["train"]
        table = pd.DataFrame({"path": train.paths, "score": np.where(train.aligned, 0.25, 4.0)}).assign(**columns)
        table = table if rows is None else table.iloc[rows]
        path = tmp_path / name
        table.to_parquet(path) if name.endswith("parquet") else table.to_csv(path, index=False)
        return str(path)

    return write


def ask(dataset, path):
    settings = AmplifierSettings(source="file", file=path)
    return SOURCES["file"].function(dataset["train"], dataset["val"], None, settings, Context(0, "amplifier"))


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_scores_of_a_file_are_the_losses_and_the_highest_form_the_error_set(dataset, scores, name):
    found, train = ask(dataset, scores(name)), dataset["train"]
    assert found.train.paths == train.paths and found.val is None and found.model is None
    assert (found.train.loss == np.where(train.aligned, 0.25, 4.0)).all()
    assert (found.train.misclassified == ~train.aligned).all()
    assert ((found.train.predicted != train.labels) == ~train.aligned).all()


def test_a_column_conflicting_is_the_error_set_and_rows_may_have_any_order(dataset, scores):
    few = np.arange(len(dataset["train"])) < 7
    backwards = np.arange(len(few))[::-1]
    assert (ask(dataset, scores(conflicting=few, rows=backwards)).train.misclassified == few).all()


def test_rows_of_validation_images_are_read_too_and_others_do_not_change_the_error_set(dataset, scores, tmp_path):
    """Scores of the test split are many and high, and would raise the threshold."""
    alone = ask(dataset, scores()).train.misclassified
    more = [
        pd.DataFrame({"path": dataset[name].paths, "score": score}) for name, score in (("val", 0.5), ("test", 100.0))
    ]
    pd.concat([pd.read_csv(scores()), *more]).to_csv(tmp_path / "all.csv", index=False)
    found = ask(dataset, str(tmp_path / "all.csv"))
    assert found.val.paths == dataset["val"].paths and (found.val.loss == 0.5).all()
    assert (found.train.misclassified == alone).all() and alone.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": -1.0}, r"the score of \S+ is -1\.0; scores are numbers from 0 up"),
        ({"score": "high"}, r"the score of \S+ is high; scores are numbers"),
        ({"rows": range(1000)}, r"has no row for 300 of 1300 training images, such as \S+"),
        ({"rows": [0, *range(1300)]}, r"has two rows for \S+"),
        ({"conflicting": "maybe"}, r"the column conflicting must be true or false"),
    ],
)
def test_a_mistake_in_a_file_is_one_line(dataset, scores, changes, message):
    with pytest.raises(DDBError, match=rf"^amplifier\.file: .*{message}") as error:
        ask(dataset, scores(**changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"image,score\na,1\n", "has no column path; it has image, score"),
        ("a.csv", b"", "cannot be read: it is empty"),
        ("a.parquet", b"not a table", "cannot be read: "),
    ],
)
def test_a_file_that_is_no_table_of_scores_is_one_line(dataset, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DDBError, match=rf"^amplifier\.file: \S+ {message}") as error:
        ask(dataset, str(tmp_path / name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amplifier": {"source": "file"}}, "source: file needs file: PATH, and file: PATH needs source: file"),
        ({"amplifier": {"file": "x.csv"}}, "source: file needs file: PATH, and file: PATH needs source: file"),
        ({"amplifier": {"source": "file", "file": "no.csv"}}, r"amplifier\.file: \S+no\.csv: No such file"),
        ({"amplifier": {"source": "sinthetic"}}, "did you mean 'synthetic'"),
        (
            {"amplifier": {"source": "file", "file": "README.md"}, "methods": {"ddb_end_to_end_joint": {}}},
            r"methods\.ddb_end_to_end_joint: trains an amplifier of its own on synthetic images",
        ),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(changes, message):
    with pytest.raises(DDBError, match=message):
        build_graph(resolve(VALUES | changes))


def compute(graph, store):
    for stage in graph.stages():
        with store.produce(stage) as work:
            KINDS[stage.name].compute(Job(stage, store, work, lambda *progress: None))


@pytest.fixture
def samples(dataset, tmp_path):
    """A function that writes the first 4 training images of each class below folders of these names."""

    def write(names, root="samples"):
        for label, name in enumerate(names):
            (tmp_path / root / name).mkdir(parents=True)
            for row in np.flatnonzero(dataset["train"].labels == label)[:4]:
                image = Image.fromarray(dataset["train"].images[row]).resize((20, 20))
                image.save(tmp_path / root / name / f"{row:04d}.png")
        return str(tmp_path / root)

    return write


def test_an_amplifier_is_trained_on_the_images_of_any_generator(samples, tmp_path):
    """Without a CDPM; folders have the classes' names, here digits, and their content is in the key."""
    folder = samples("0123456789")
    values = VALUES | {"amplifier": {"source": "generated", "generated": folder, "steps": 5}}
    graph, store = build_graph(resolve(values)), Store(tmp_path / "runs")
    assert [stage.name for stage in graph.stages()] == ["data", "amplifier", "classifier", "evaluation"]
    compute(graph, store)
    (amplifier,) = (run.stage for run in graph.amplifiers.values())
    curve = json.loads((store.path(amplifier) / "curve.json").read_text())
    assert curve[-1]["epoch"] == 5 * 64 / 40  # 40 images
    same, other = samples("0123456789", "same"), samples("0123456789", "other")
    Image.new("RGB", (20, 20)).save(tmp_path / "other" / "3" / "0000.png")
    changes = ({"amplifier": values["amplifier"] | {"generated": each}} for each in (same, other))
    first, second = (build_graph(resolve(VALUES | each)).cells[0].classifier.key for each in changes)
    assert first == graph.cells[0].classifier.key != second


def test_folders_that_are_not_the_classes_are_one_line(samples, dataset, tmp_path):
    settings = AmplifierSettings(source="generated", generated=samples("012345678x"))
    run = Context(0, "amplifier", classes=dataset.classes)
    with pytest.raises(DDBError, match=r"amplifier\.generated: .*has the folders 0, .* x; needed are the classes 0, 1"):
        SOURCES["generated"].function(dataset["train"], dataset["val"], None, settings, run)
    with pytest.raises(DDBError, match=r"amplifier\.generated: no folder .*nowhere"):
        build_graph(resolve(VALUES | {"amplifier": {"source": "generated", "generated": "nowhere"}}))


def test_a_recipe_takes_the_signals_of_a_file_whose_content_is_in_the_key(scores, tmp_path):
    file = {"amplifier": {"source": "file", "file": scores()}}
    graph, store = build_graph(resolve(VALUES | file)), Store(tmp_path / "runs")
    assert [stage.name for stage in graph.stages()] == ["data", "amplifier", "classifier", "evaluation"]
    compute(graph, store)
    (amplifier,) = (run.stage for run in graph.amplifiers.values())
    assert amplifier.code == {"amplifier": KINDS["amplifier"].version, "source file": 1}
    assert '"auroc": 1.0' in (store.path(amplifier) / "quality.json").read_text()
    copy = {"amplifier": {"source": "file", "file": scores("copy.csv")}}
    other = {"amplifier": {"source": "file", "file": scores("other.csv", score=0.5)}}
    same, changed = (build_graph(resolve(VALUES | each)).cells[0].classifier for each in (copy, other))
    assert same.key == graph.cells[0].classifier.key != changed.key


@pytest.mark.parametrize("name", [*CLOSED, *TRAINED])
def test_a_source_finds_conflicting_images_of_colored_digits(dataset, name):
    """Better than chance by far; `results/README.md` has the numbers of full trainings."""
    settings = AmplifierSettings(source=name, steps=40)
    found = SOURCES[name].function(dataset["train"], dataset["val"], None, settings, Context(0, "amplifier"))
    assert signal_quality(found.train, dataset["train"].aligned)["auroc"] > 0.85
    assert found.val.paths == dataset["val"].paths and 0.15 < (~found.val.misclassified).mean() < 1
    assert found.train.probability == pytest.approx(np.exp(-found.train.loss))
    assert (found.train.misclassified == (found.train.predicted != dataset["train"].labels)).all()


def grey(values):
    """Images of 2 x 2 pixels in these shades; the first half is of class 0."""
    images = np.array(values, np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    return Split(images, np.arange(len(values)) * 2 // len(values), [f"{i}" for i in range(len(values))])


def test_a_discriminant_by_hand():
    """Shades 0, 2 and 4, 6: on a line, the classes' means lie two standard deviations apart.

    Within a class the standard deviation is 1, so the log-odds at distances 1 and 3 from the means are (9 - 1) / 2, at
    distances 1 and 5 they are 12.
    """
    judged = grey([0, 2, 4, 6])
    fit_to = grey([0, 2] * 5 + [4, 6] * 5)
    found = fitted(GaussianNB(var_smoothing=0), fit_to, judged, AmplifierSettings(components=1))
    assert found.val.loss == pytest.approx(np.log1p(np.exp([-12, -4, -4, -12])), rel=0.02)
    assert not found.val.misclassified.any()


@pytest.mark.parametrize("name", CLOSED)
def test_log_odds_of_two_classes_are_not_clipped(name):
    """Two classes far apart: scikit-learn's log-probabilities of class 0 end at the smallest float32."""
    near, far = [0, 2, 4] * 5, [200, 202, 204] * 5
    settings = AmplifierSettings(source=name, components=1)
    found = SOURCES[name].function(grey(near + far), grey([0, 102, 101, 204]), None, settings, Context(0, "amplifier"))
    kept = found.val.log_probabilities
    assert kept[0, 1] < -500 and kept[3, 0] < -500
    assert kept[0, 1] == pytest.approx(kept[3, 0], rel=0.01)  # symmetric
    assert found.val.loss[0] == found.val.loss[3] == 0


def test_too_few_images_for_a_closed_form_are_one_line():
    with pytest.raises(DDBError, match=r"amplifier\.source: lda needs more than 2 training images for 2 classes"):
        fitted(GaussianNB(), grey([0, 9]), grey([0, 9]), AmplifierSettings(source="lda"))


def test_a_closed_form_judges_each_training_image_without_it():
    """One white image among black ones: a Gaussian that has seen it would place it in its class."""
    values = [0, 10] * 5 + [200, 210] * 5
    values[0] = 205
    signals = fitted(GaussianNB(), grey(values), grey(values), AmplifierSettings(components=1)).train
    assert np.flatnonzero(signals.misclassified).tolist() == [0]
    assert signals.log_probabilities.shape == (20, 2)
    assert signals.loss == pytest.approx(-signals.log_probabilities[np.arange(20), grey(values).labels])


def test_folds_share_every_class_equally_and_no_network_judges_what_it_was_trained_on(dataset, monkeypatch):
    labels = dataset["train"].labels
    fold = folds(labels, 3, seed=0)
    counts = np.stack([np.bincount(labels[fold == part], minlength=10) for part in range(3)])
    assert (counts.max(0) - counts.min(0) <= 1).all() and (fold != folds(labels, 3, seed=1)).any()
    trained, judged = [], []

    def fit(split, *arguments):
        trained.append(set(split.paths))
        return None

    def predict(model, split, view):
        judged.append(set(split.paths))
        return torch.zeros(len(split), 10)

    monkeypatch.setattr("ddb.signals.cross_fit.fit", fit)
    monkeypatch.setattr("ddb.signals.cross_fit.predict", predict)
    settings = AmplifierSettings(source="cross_fit", folds=3)
    SOURCES["cross_fit"].function(dataset["train"], dataset["val"], None, settings, Context(0, "amplifier"))
    parts = judged[::2]  # between them, the validation images
    assert len(trained) == 3 and all(seen.isdisjoint(part) for seen, part in zip(trained, parts, strict=True))
    assert set.union(*parts) == set(dataset["train"].paths) == trained[0] | parts[0]


def test_a_shrunk_gaussian_by_hand():
    """Along a diagonal: independent components cannot tell (1, 1) from (1, -1), a full covariance can."""
    random = np.random.default_rng(0)
    along = random.normal(size=(5000, 1))
    rising, falling = (np.hstack([along, sign * along]) + random.normal(size=(5000, 2)) / 5 for sign in (1, -1))
    x, y = np.concatenate([rising, falling]), np.repeat([0, 1], 5000)
    odds = lambda model: np.diff(model.fit(x, y).predict_joint_log_proba(np.array([[1.0, 1.0], [1.0, -1.0]])))  # noqa: E731
    assert np.abs(odds(GaussianNB())).max() < 0.2
    # Covariances [[1.04, +-1], [+-1, 1.04]]: x' (inverse of one - inverse of the other) x / 2 = 2 / 0.0816 = 24.5.
    assert odds(ShrunkGaussian()) == pytest.approx(np.array([[-24.5], [24.5]]), rel=0.1)


def test_a_shrunk_gaussian_needs_some_images_of_every_class():
    settings = AmplifierSettings(source="gaussian", covariance="shrunk")
    few = grey([0, 2, 4, 100, 102, 104])
    with pytest.raises(DDBError, match=r"^amplifier\.covariance: shrunk needs 5 images of every class"):
        SOURCES["gaussian"].function(few, few, None, settings, Context(0, "amplifier"))


def test_twins_flip_labels_in_proportion_to_held_out_confidence():
    """Of two classes, predicted with p = 0.75: (0.75 - 1/2) * 2 / 1 = 1/2 of the labels."""
    labels, generator = torch.zeros(10_000, dtype=torch.long), torch.Generator().manual_seed(0)
    at = lambda p: torch.tensor([[1 - p, p]]).log().expand(len(labels), 2)  # noqa: E731
    assert flipped(labels, at(0.75), generator).double().mean() == pytest.approx(0.5, abs=0.02)
    assert flipped(labels, at(0.5), generator).sum() == 0
    assert flipped(labels, at(1.0), generator).all()
    assert flipped(labels, at(0.0), generator).sum() == 0  # the prediction is the label


def test_classes_count_the_same_in_the_loss_of_twins():
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0], [5.0, 0.0], [9.0, 9.0]])
    labels, rows = torch.tensor([0, 0, 1, 1]), torch.tensor([True, True, True, False])
    expected = (np.log(2) + np.log1p(np.exp(5))) / 2
    assert float(class_balanced(logits, labels, rows)) == pytest.approx(expected)
    assert float(class_balanced(logits, labels, ~rows & False)) == 0


def test_twins_do_not_learn_the_images_that_they_judge():
    """Noise with random labels: what has learned an image knows its label, and what has not errs on half of them."""
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (64, 8, 8, 3), np.uint8), random.permutation(np.arange(64) % 2)
    noise = Split(images, labels, [f"{number}" for number in range(64)])
    errors = {}
    for name in ("real", "xrm"):
        settings = AmplifierSettings(source=name, steps=60, batch_size=32)
        found = SOURCES[name].function(noise, noise, None, settings, Context(0, "amplifier"))
        errors[name] = found.train.misclassified.mean()
    assert errors["real"] < 0.1 and 0.3 < errors["xrm"] < 0.7


@pytest.mark.parametrize("name", CLOSED)
def test_the_key_of_a_closed_form_has_only_what_it_reads(name):
    def amplifier(**settings):
        graph = build_graph(resolve(VALUES | {"amplifier": {"source": name} | settings, "seeds": [0, 1]}))
        (stage,) = {run.stage.key: run.stage for run in graph.amplifiers.values()}.values()  # one for both seeds
        return stage

    own = {"source": name, "space": "pixels", "layer": None, "components": 64}
    own |= {"covariance": "diagonal"} if name == "gaussian" else {}
    assert amplifier().config == {"amplifier": own}
    assert amplifier().key == amplifier(steps=7).key != amplifier(components=9).key


def test_the_key_of_an_amplifier_has_no_setting_that_only_other_sources_read():
    def key(source, **settings):
        graph = build_graph(resolve(VALUES | {"amplifier": {"source": source} | settings}))
        return next(run.stage.key for run in graph.amplifiers.values())

    values = {"images_per_class": 9, "folds": 3, "q": 0.5}
    for name, own in (("synthetic", "images_per_class"), ("cross_fit", "folds"), ("gce", "q")):
        others = {other: value for other, value in values.items() if other != own}
        assert key(name, **others) == key(name) != key(name, **{own: values[own]})


def test_a_source_that_a_test_defines_drives_a_recipe(dataset, monkeypatch, tmp_path):
    monkeypatch.setitem(SOURCES, "oracle", None)  # so that it is gone after the test
    del SOURCES["oracle"]

    @source("oracle", trains=False, version=3)
    def oracle(train, val, synthetic, settings, run):
        loss = np.where(train.aligned, 0, 9).astype(np.float32)
        predicted = np.where(train.aligned, train.labels, (train.labels + 1) % 10)
        return Found(Signals(train.paths, train.labels, predicted, loss, np.exp(-loss), ~train.aligned), None)

    graph, store = build_graph(resolve(VALUES | {"amplifier": {"source": "oracle"}})), Store(tmp_path)
    compute(graph, store)
    (amplifier,) = (run.stage for run in graph.amplifiers.values())
    assert amplifier.code["source oracle"] == 3
    assert '"recall": 1.0' in (store.path(amplifier) / "quality.json").read_text()


def test_a_file_that_changes_between_planning_and_reading_is_refused(scores, tmp_path):
    path = scores()
    values = VALUES | {"amplifier": {"source": "file", "file": path}}
    graph, store = build_graph(resolve(values)), Store(tmp_path / "runs")
    scores(score=0.5)
    with pytest.raises(DDBError, match=rf"^file: {path} changed while the command ran"):
        compute(graph, store)


def test_a_choice_by_validation_signals_that_a_file_lacks_is_one_line(scores, tmp_path):
    rows = {"ddb_two_step": {"steps": 3, "selection": "val_pseudo_worst_group"}}
    graph = build_graph(resolve(VALUES | {"amplifier": {"source": "file", "file": scores()}, "methods": rows}))
    with pytest.raises(DDBError, match=r"^val_pseudo_worst_group: .* add their rows to amplifier\.file"):
        compute(graph, Store(tmp_path / "runs"))
