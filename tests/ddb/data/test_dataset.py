import dataclasses

import numpy as np
import pytest

from ddb.data.dataset import BiasedDataset, Split, group_names, groups, hold_out
from ddb.errors import DDBError


def split(labels, bias=None, aligned=None, images=None, root=None):
    labels = np.array(labels, np.int64)
    paths = [f"{i:03d}.png" for i in range(len(labels))]
    bias = None if bias is None else np.array(bias, np.int64)
    return Split(images, labels, paths, bias, None if aligned is None else np.array(aligned), root)


SHAPE = "images must be uint8 of shape (N, H, W, 3)"


def dataset(**splits):
    parts = {"train": split([0, 1]), "val": split([0]), "test": split([1]), **splits}
    return BiasedDataset("toy", ("cat", "dog"), {}, parts)


def test_groups_of_one_attribute_are_class_by_alignment():
    found = groups(split([0, 0, 1, 1, 2], [[0], [1], [1], [0], [2]], [True, False, True, False, True]))
    assert found.tolist() == [0, 1, 2, 3, 4]
    # `aligned` decides, not equality of numbers; the values of the attribute are not needed
    assert groups(split([0, 1], [[3], [3]], [True, False])).tolist() == [0, 3]
    assert groups(split([0, 1, 1], None, [False, True, False])).tolist() == [1, 2, 3]
    with pytest.raises(DDBError, match="no bias labels, so its groups are unknown"):
        groups(split([0, 1]))


def test_groups_of_two_attributes_say_which_of_them_disagrees():
    cells = [(y, bg, obj) for y in (0, 1) for bg in (0, 1) for obj in (0, 1)]
    labels, bias = [y for y, _, _ in cells], [[bg, obj] for _, bg, obj in cells]
    disagrees = np.array([[bg != y, obj != y] for y, bg, obj in cells])
    whole = split(labels, bias, [y == bg == obj for y, bg, obj in cells])
    found = groups(dataclasses.replace(whole, disagrees=disagrees))
    # class 0: none, object, background, both disagree; class 1: both, background, object, none
    assert found.tolist() == [0, 2, 1, 3, 7, 5, 6, 4]


def test_names_stand_in_the_order_of_groups():
    assert group_names(("a", "b"), ("place",)) == ["a/aligned", "a/conflicting", "b/aligned", "b/conflicting"]
    assert group_names(("a", "b")) == group_names(("a", "b"), ("place",))
    assert group_names(("a", "b"), ("bg", "obj")) == [
        "a/aligned", "a/conflicting in bg", "a/conflicting in obj", "a/conflicting in bg+obj",
        "b/aligned", "b/conflicting in bg", "b/conflicting in obj", "b/conflicting in bg+obj",
    ]  # fmt: skip
    assert group_names(("a",), ("x", "y", "z"))[5] == "a/conflicting in x+z"  # 5 = 1 + 4


def test_take_keeps_every_column_in_the_order_of_the_rows(tmp_path):
    images = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)
    whole = split([0, 1, 1, 0], [[0], [1], [0], [1]], [True, True, False, False], images, tmp_path)
    part = whole.take(np.array([2, 0]))
    assert len(part) == 2 and part.paths == ["002.png", "000.png"] and part.labels.tolist() == [1, 0]
    assert part.bias.tolist() == [[0], [0]] and part.aligned.tolist() == [False, True] and part.root == tmp_path
    assert np.array_equal(part.images, images[[2, 0]])
    assert whole.paths == ["000.png", "001.png", "002.png", "003.png"]
    part = split([0, 1, 1]).take(np.array([1]))  # what is unknown stays unknown
    assert part.images is None and part.bias is None and part.aligned is None and part.root is None
    assert len(split([0, 1]).take(np.array([], np.int64))) == 0


def test_hold_out_draws_the_share_of_each_class_by_its_seed_and_keeps_the_order():
    whole = split(np.tile([0, 1, 2, 0, 1, 0, 0], 10))
    left, held = hold_out(whole, 0.1, 5)
    assert np.bincount(held.labels).tolist() == [4, 2, 1] and np.bincount(left.labels).tolist() == [36, 18, 9]
    assert not set(left.paths) & set(held.paths) and sorted(left.paths + held.paths) == whole.paths
    assert left.paths == sorted(left.paths) and held.paths == sorted(held.paths)
    labels = dict(zip(whole.paths, whole.labels, strict=True))
    assert [labels[path] for path in held.paths] == held.labels.tolist()
    whole = split([0] * 50 + [1] * 50)
    first, again, other = (hold_out(whole, 0.2, seed)[1].paths for seed in (3, 3, 4))
    assert first == again and first != other
    assert first != [f"{i:03d}.png" for i in [*range(10), *range(50, 60)]]  # drawn, not the first ones


@pytest.mark.parametrize(("share", "held_of_two", "held_of_five"), [(0.01, 1, 1), (0.5, 1, 2), (0.99, 1, 4)])
def test_hold_out_keeps_one_of_each_class_on_both_sides(share, held_of_two, held_of_five):
    left, held = hold_out(split([0, 0, 1, 1, 1, 1, 1]), share, 0)
    assert np.bincount(held.labels).tolist() == [held_of_two, held_of_five]
    assert np.bincount(left.labels).tolist() == [2 - held_of_two, 5 - held_of_five]


def test_hold_out_leaves_single_images_to_training():
    left, held = hold_out(split([0, 1, 1, 1]), 0.5, 0)
    assert left.labels.tolist().count(0) == 1 and 0 not in held.labels
    assert [len(part) for part in hold_out(split([]), 0.1, 0)] == [0, 0]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": split([])}, "dataset toy: no train images"),
        ({"test": split([])}, "dataset toy: no test images"),
        ({"train": split([1, 1])}, "dataset toy: no training images of class cat"),
        ({"val": split([0], images=np.zeros((1, 4, 4, 3), np.float32))}, f"dataset toy: val {SHAPE}"),
        ({"test": split([0], images=np.zeros((1, 4, 4), np.uint8))}, f"dataset toy: test {SHAPE}"),
    ],
)
def test_an_unusable_data_set_is_refused(splits, message):
    assert dataset().validate()
    with pytest.raises(DDBError) as error:
        dataset(**splits).validate()
    assert str(error.value) == message
    with pytest.raises(DDBError, match="dataset toy: needs at least two classes, has cat"):
        BiasedDataset("toy", ("cat",), {}, dict.fromkeys(("train", "val", "test"), split([0]))).validate()
