"""The verdict's evidence by hand, and the list as files."""

from types import SimpleNamespace

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from ddb.amplifier import Signals
from ddb.audit import Evidence, weigh, write_scores
from ddb.data import BiasedDataset, Split


def bits(text):
    return np.array([c == "1" for c in text])


def test_the_evidence_by_hand():
    """Of six flagged images the debiased model gains four and loses one: P(X >= 4 | 5, 1/2) = 6 / 32."""
    flagged = bits("1111110000")
    erm, debiased = bits("0000111111"), bits("1111011111")
    found = weigh(erm, debiased, flagged)
    assert (found.validation, found.flagged) == (10, 6)
    assert (found.erm, found.debiased) == pytest.approx((2 / 6, 5 / 6))
    assert found.gain == pytest.approx(0.5) and found.p == pytest.approx(6 / 32)


def test_only_flagged_images_count():
    erm, debiased = bits("0000"), bits("1110")
    assert weigh(erm, debiased, bits("0001")).p == 1.0


def test_nothing_flagged_is_no_sign():
    found = weigh(bits("1111"), bits("1111"), bits("0000"))
    assert found.verdict == "none" and found.reason == "The amplifier misclassifies 0 of 4 validation images."


@pytest.mark.parametrize(
    ("flagged", "erm", "debiased", "p", "verdict"),
    [
        (100, 0.5, 0.7, 1e-4, "shortcut"),
        (100, 0.5, 0.54, 1e-4, "none"),  # significant, but too small to matter
        (100, 0.5, 0.7, 0.02, "none"),  # large, but may be an accident
        (19, 0.0, 0.5, 0.002, "shortcut"),
        (19, 0.2, 0.3, 0.3, "unclear"),  # too few to say that there is none
    ],
)
def test_the_verdict_needs_a_gain_that_is_large_and_no_accident(flagged, erm, debiased, p, verdict):
    assert Evidence(200, flagged, erm, debiased, p).verdict == verdict


@pytest.mark.parametrize("labelled", [True, False])
def test_the_list_has_every_image_the_highest_score_first(tmp_path, labelled):
    labels, predicted = np.array([0, 1, 1]), np.array([0, 0, 1])
    loss = np.array([0.1, 3.0, 0.5], np.float32)
    signals = Signals(['a "b", <i>.png', "c.png", "d.png"], labels, predicted, loss, np.exp(-loss), predicted != labels)
    aligned = np.array([True, False, True]) if labelled else None
    split = Split(None, labels, signals.paths, None, aligned)
    dataset = BiasedDataset("mine", ("cat", "dog"), {}, {"train": split})
    paths = write_scores(SimpleNamespace(signals=signals, dataset=dataset), tmp_path)
    parquet, text = pq.read_table(paths[0]), pyarrow.csv.read_csv(paths[1])
    assert parquet["path"].to_pylist() == text["path"].to_pylist() == ["c.png", "d.png", 'a "b", <i>.png']
    assert parquet["class"].to_pylist() == ["dog", "dog", "cat"] and parquet["taken_for"][0].as_py() == "cat"
    assert parquet["conflicting"].to_pylist() == [True, False, False]
    assert ("bias_label_conflicting" in parquet.column_names) is labelled
