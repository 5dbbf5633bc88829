"""Labels that are likely mistakes are told of; those that are fine are not."""

import numpy as np
import pytest

from ddb.data.dataset import BiasedDataset, Split
from ddb.data.labels import doubts, is_missing


def dataset(classes, rows=2, bias=None):
    """`rows` training images of each class, and a val and a test image."""
    labels = np.repeat(np.arange(len(classes)), rows)

    def split(name, labels):
        return Split(None, np.array(labels), [f"{name}{i}.png" for i in range(len(labels))])

    splits = {"train": split("train", labels), "val": split("val", [0]), "test": split("test", [0])}
    return BiasedDataset("x", tuple(classes), bias or {}, splits)


def test_words_for_no_value_and_words_that_may_be_values():
    assert all(map(is_missing, [None, "", "  ", "nan", "NaN", " NAN ", "N/A", "n/a", "<NA>", "null", "NULL", "NaT"]))
    assert not any(map(is_missing, ["0", "none", "NA", "Nancy", "-", "anna", "n", "False"]))


@pytest.mark.parametrize(
    "classes",
    [
        ("cat", "dog"), ("0", "1", "10"), ("-1", "1"), ("A", "A-", "A+"), ("1.0", "2.0"), ("T-shirt", "trousers"),
        ("C", "C#", "C++"), ("1e3", "1e4"), ("ünï☃", "unï☃"), ("0_1", "0_10"),
    ],
)  # fmt: skip
def test_good_labels_need_no_word(classes):
    assert doubts(dataset(classes)) == []


@pytest.mark.parametrize(
    ("classes", "alike"),
    [
        (("Cat", "cat", "dog"), "'Cat' and 'cat'"),
        ((" cat ", "cat", "dog"), "' cat ' and 'cat'"),
        (("T-shirt", "T shirt", "t_shirt"), "'T-shirt' and 'T shirt' and 't_shirt'"),
        (("1", "1.0", "2"), "'1' and '1.0'"),
        (("01", "1", "2"), "'01' and '1'"),
        (("caf\u00e9", "cafe\u0301", "tea"), "'caf\u00e9' and 'cafe\u0301'"),
    ],
)
def test_one_label_written_in_two_ways_is_told(classes, alike):
    ways = alike.count(" and ") + 1
    expected = f"warning: {alike} are each a class of its own; the same one, written in {ways} ways?"
    assert doubts(dataset(classes)) == [expected]


@pytest.mark.parametrize(
    ("classes", "word"), [(("cat", "None"), "None"), (("0", "1", "-1"), "-1"), (("a", "nan"), "nan")]
)
def test_a_label_that_may_be_missing_is_told(classes, word):
    assert doubts(dataset(classes)) == [f"warning: {word!r} is a class; does it stand for a missing one?"]


def test_bias_values_are_looked_at_too():
    found = doubts(dataset(("cat", "dog"), bias={"place": ("sofa", "Sofa", "unknown"), "light": ("day", "night")}))
    assert found == [
        "warning: 'sofa' and 'Sofa' are each a value of 'place' of its own; the same one, written in 2 ways?",
        "warning: 'unknown' is a value of 'place'; does it stand for a missing one?",
    ]


def test_measurements_and_identities_in_place_of_classes_are_told():
    expected = "2 of 3 classes are fractions, such as 0.25; are they measurements? each different number counts apart"
    assert doubts(dataset(("0.25", "0.5", "1"))) == [f"warning: {expected}"]
    found = doubts(dataset([f"photo {chr(97 + i)}" for i in range(9)], rows=1))
    assert found == ["warning: 9 of 9 classes have one training image; are these really classes?"]


@pytest.mark.parametrize(("label", "said"), [(0, ""), (1, ", 1 of them with another class")])
def test_a_file_in_two_splits_is_told(label, said):
    whole = dataset(("cat", "dog"))  # train0.png is a cat
    whole.splits["test"] = Split(None, np.array([label, 0]), ["train0.png", "t.png"])
    assert doubts(whole) == [f"warning: files in more than one split: 1{said}, such as train0.png"]
