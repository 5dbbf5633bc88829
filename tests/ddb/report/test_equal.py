"""Rows with the same numbers: which are named together, and the reason that the stored results show."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddb.experiment.results import Results
from ddb.report import equal
from ddb.report.equal import EXACT, PREDICTIONS, SAME_SET, UNKNOWN
from ddb.report.paired import differences, render_differences
from ddb.report.sheets import caption
from ddb.report.table import rows

PATHS = ["a.png", "b.png"]


def write(store, stage, file, table, **values):
    with store.produce(stage) as work:
        pq.write_table(pa.table({"path": PATHS} | table), work.result / file)
        for name, value in values.items():
            (work.result / f"{name}.json").write_text(json.dumps(value))


def signals(fake, seed, steps=300, errors=(True, False), precision=1.0, recall=1.0):
    stage = fake.amplify(seed, steps=steps)
    quality = {"precision": precision, "recall": recall}
    write(fake.store, stage, "signals.parquet", {"conflicting": list(errors)}, quality=quality)
    return stage


def add(fake, method, seed, accuracy=0.5, predicted=(0, 1), logit=2.0, **inputs):
    stage = fake.add(method, seed, **inputs)
    table = {"predicted": list(predicted), "logits": [[logit, 1.0], [1.0, logit]]}
    write(fake.store, stage, "predictions.parquet", table, metrics={"conflicting_accuracy": accuracy})


def equal_rows(fake):
    return equal.equal_rows(rows(Results(fake, fake.store)))


@pytest.mark.parametrize(
    ("precision", "second", "reason"),
    [
        (1.0, {}, EXACT),
        (0.5, {}, PREDICTIONS),
        (1.0, {"logit": 3.0}, PREDICTIONS),  # trained otherwise
        (1.0, {"predicted": (1, 0)}, UNKNOWN),
    ],
)
def test_a_recipe_equals_the_oracle_if_its_error_set_is_exact_in_every_seed(fake, precision, second, reason):
    for seed, each, found in ((0, {}, 1.0), (1, second, precision)):
        add(fake, "group_dro", seed)
        add(fake, "ddb_two_step", seed, **each, amplifier=signals(fake, seed, precision=found))
    sentence = f"ddb_two_step equals group_dro (oracle) on colored_digits: {reason}."
    assert equal_rows(fake) == [sentence]
    table = rows(Results(fake, fake.store))
    assert sentence in caption(table)
    assert sentence in render_differences(differences(table, "group_dro"), "group_dro", "markdown")


def test_a_method_has_the_same_numbers_with_two_sources_that_have_the_same_error_set(fake):
    for method, steps, errors in (
        ("ddb_two_step", 10, (True, False)),
        ("ddb_two_step", 20, (True, False)),
        ("ddb_two_step", 30, (True, True)),
        ("ddb_two_step_error_set", 40, (True, False)),
    ):
        add(fake, method, 0, settings={"amplifier.steps": steps}, amplifier=signals(fake, 0, steps, errors))
    first = "ddb_two_step (amplifier steps 10) on colored_digits"
    assert equal_rows(fake) == [
        f"ddb_two_step (amplifier steps 20) equals {first}: {SAME_SET}.",
        f"ddb_two_step (amplifier steps 30), ddb_two_step_error_set equal {first}: {PREDICTIONS}.",
    ]


def test_rows_that_are_equal_for_one_reason_share_a_sentence(fake):
    for steps in (10, 20, 30):
        settings = {"amplifier.steps": steps}
        add(fake, "ddb_two_step", 0, guidance=1.0, settings=settings, amplifier=signals(fake, 0, steps))
    names = [f"ddb_two_step (amplifier steps {steps})" for steps in (10, 20, 30)]
    assert equal_rows(fake) == [f"{names[1]}, {names[2]} equal {names[0]} on colored_digits: {SAME_SET}."]


def test_only_finished_rows_with_the_same_numbers_in_the_same_seeds_are_equal(fake):
    for method, by_seed in (("erm", (0.5, 0.7)), ("lff", (0.7, 0.5)), ("jtt", (0.5,)), ("afr", ()), ("dfr", ())):
        for seed in range(2):
            if seed < len(by_seed):
                add(fake, method, seed, by_seed[seed])
            else:
                fake.add(method, seed)
    for seed, accuracy in enumerate((0.5, 0.7)):
        add(fake, "group_dro", seed, accuracy, dataset="bar")
    assert equal_rows(fake) == []
    fake.add("ddb_two_step", 0, {"conflicting_accuracy": 0.5})  # without predictions
    fake.add("ddb_two_step", 1, {"conflicting_accuracy": 0.7})
    assert equal_rows(fake) == [f"ddb_two_step equals erm on colored_digits: {UNKNOWN}."]
