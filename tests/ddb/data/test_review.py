"""A person's verdicts: what they change, what they do not, and one line for each mistake."""

import pytest

from ddb.data import dataset_settings, load_dataset
from ddb.errors import DDBError
from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph


@pytest.fixture
def root(tmp_path, put):
    put(*(f"images/{name}/{number}.png" for name in ("cat", "dog") for number in range(10)))
    return tmp_path / "images"


def reviewed(root, text):
    path = root.parent / "review.csv"
    if text is not None:
        path.write_text(text)
    return load_dataset(dataset_settings({"name": "folder", "root": str(root), "review": str(path)}))


def label_of(dataset, path):
    found = [s.labels[s.paths.index(path)] for s in dataset.splits.values() if path in s.paths]
    return dataset.classes[found[0]] if found else None


def test_images_are_relabelled_and_dropped_in_every_split_and_the_others_stay(root):
    before = load_dataset(dataset_settings({"name": "folder", "root": str(root)}))
    lines = [f"cat/{n}.png,relabel,dog" for n in range(3)] + ["dog/1.png,drop,", "dog/2.png,keep,", "dog/3.png,,"]
    after = reviewed(root, "\n".join(["file_name,verdict,new_label", *lines]))
    assert [label_of(after, f"cat/{n}.png") for n in range(4)] == ["dog"] * 3 + ["cat"]
    assert label_of(after, "dog/1.png") is None and label_of(after, "dog/2.png") == "dog"
    for name, split in after.splits.items():  # no image changes its split
        assert set(split.paths) == set(before[name].paths) - {"dog/1.png"}
    assert "1 keep, 3 relabel, 1 drop" in after.notes[-1]
    # The list of the audit has other columns, which are ignored.
    after = reviewed(root, "file_name,split,verdict,loss\ncat/0.png,train,drop,3.2\ncat/1.png,val,,0.1\n")
    assert label_of(after, "cat/0.png") is None and label_of(after, "cat/1.png") == "cat"


def test_the_content_of_the_file_is_in_the_key(root):
    def key(text, name="review.csv"):
        (root.parent / name).write_text(text)
        dataset = {"name": "folder", "root": str(root), "review": str(root.parent / name)}
        return build_graph(resolve({"dataset": dataset, "methods": {"erm": {}}})).data.key

    first = "file_name,verdict\ncat/0.png,drop\n"
    assert key(first) == key(first, "copy.csv") != key("file_name,verdict\ncat/1.png,drop\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,verdict\n", "has no column file_name"),
        ("file_name,label\n", "has no column verdict"),
        ("file_name,verdict\ncat/0.png,delete\n", "cat/0.png: verdict 'delete' is not one of"),
        ("file_name,verdict\ncat/0.png,relabel\n", "cat/0.png: new_label '' is not one of cat, dog"),
        ("file_name,verdict,new_label\ncat/0.png,relabel,cow\n", "new_label 'cow' is not one of cat, dog"),
        ("file_name,verdict\ncow/0.png,drop\n", "no image cow/0.png in the data set"),
        ("file_name,verdict\ncat/0.png,drop\ncat/0.png,keep\n", "has two rows for cat/0.png"),
        ("", "cannot be read: it is empty"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(root, text, message):
    with pytest.raises(DDBError, match=f"^dataset.review: .*review.csv.*{message}") as error:
        reviewed(root, text)
    assert "\n" not in str(error.value)
