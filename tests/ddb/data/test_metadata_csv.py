import numpy as np
import pytest

from ddb.data import groups, load_dataset
from ddb.data.files import distinct
from ddb.data.metadata_csv import MetadataConfig, index
from ddb.errors import DDBError
from ddb.settings import build

PLAIN = """img_filename,y,place,split
a.png,0,0,0
b.png,0,0,0
c.png,0,1,0
d.png,1,1,0
e.png,0,0,1
f.png,1,0,1
g.png,0,1,2
h.png,1,1,2
"""


@pytest.fixture
def load(tmp_path):
    def read(text, **settings):
        if text is not None:
            content = text if isinstance(text, bytes) else text.encode()
            (tmp_path / settings.get("table", "metadata.csv")).write_bytes(content)
        return load_dataset(build(MetadataConfig, {"root": tmp_path, **settings}, "dataset"))

    return read


def test_rows_become_splits_classes_and_bias_values(load, tmp_path):
    dataset = load(PLAIN)
    train, val, test = (dataset[name] for name in ("train", "val", "test"))
    assert dataset.name == "metadata_csv" and dataset.classes == ("0", "1")
    assert dataset.bias_attributes == {"place": ("0", "1")}
    assert (train.paths, val.paths, test.paths) == (["a.png", "b.png", "c.png", "d.png"], ["e.png", "f.png"],
                                                    ["g.png", "h.png"])  # fmt: skip
    assert train.labels.tolist() == [0, 0, 0, 1] and train.labels.dtype == np.int64
    assert train.bias.tolist() == [[0], [0], [1], [1]] and train.root == tmp_path
    assert train.aligned.tolist() == [True, True, False, True]
    assert val.aligned.tolist() == [True, False] and test.aligned.tolist() == [False, True]


def test_every_name_is_a_setting(load):
    text = "file,kind,where,part\n" + "".join(
        f"{part}/{kind}_{where}_{i}.jpg,{kind},{where},{part}\n"
        for part in ("tr", "va", "te") for kind, where in (("dog", "snow"), ("cat", "sofa")) for i in range(2)
    )  # fmt: skip
    dataset = load(text, table="list.csv", filename="file", label="kind", bias=["where"], split="part",
                   splits={"train": "tr", "val": "va", "test": "te"})  # fmt: skip
    assert dataset.classes == ("cat", "dog") and dataset.bias_attributes == {"where": ("snow", "sofa")}
    test = dataset["test"]
    assert test.paths == ["te/cat_sofa_0.jpg", "te/cat_sofa_1.jpg", "te/dog_snow_0.jpg", "te/dog_snow_1.jpg"]
    assert test.labels.tolist() == [0, 0, 1, 1] and test.bias[:, 0].tolist() == [1, 1, 0, 0]
    assert test.aligned.all()  # the commonest place of a cat is the sofa, of a dog the snow


def test_alignment_is_taken_from_training_alone(load):
    """Class 0 lies at 1 mostly everywhere but in training, where it lies at 0."""
    text = PLAIN + "i.png,0,1,1\nj.png,0,1,1\nk.png,0,1,2\nl.png,0,1,2\n"
    dataset = load(text)
    assert dataset["train"].aligned.tolist() == [True, True, False, True]
    assert dataset["val"].aligned.tolist() == [True, False, False, False]  # e, f, i, j


def test_with_two_attributes_both_must_agree(load):
    text = "img_filename,y,bg,obj,split\n" + "".join(
        f"{i:02d}.png,{y},{bg},{obj},{split}\n"
        for i, (y, bg, obj, split) in enumerate(
            [(0, 0, 0, 0)] * 3 + [(0, 1, 0, 0), (0, 0, 1, 0)] + [(1, 1, 1, 0)] * 3 + [(1, 0, 0, 0)]
            + [(0, 0, 0, 1), (1, 1, 0, 1), (0, 1, 1, 2), (1, 1, 1, 2)]
        )
    )  # fmt: skip
    dataset = load(text, bias=["bg", "obj"])
    assert dataset["train"].aligned.tolist() == [True] * 3 + [False, False] + [True] * 3 + [False]
    assert groups(dataset["train"]).tolist() == [0, 0, 0, 1, 2, 4, 4, 4, 7]
    assert dataset["val"].aligned.tolist() == [True, False] and groups(dataset["val"]).tolist() == [0, 6]
    assert dataset["test"].aligned.tolist() == [False, True] and groups(dataset["test"]).tolist() == [3, 4]


def test_with_two_attributes_groups_follow_alignment_whatever_the_values_are_called(load):
    """Cats on sofas with balls, dogs on grass with sticks: in sorted order no value has the number of its class."""
    text = "img_filename,y,bg,obj,split\n" + "".join(
        f"{i:02d}.png,{row}\n"
        for i, row in enumerate(
            ["cat,sofa,stick,0"] * 2 + ["dog,grass,ball,0"] * 2 + ["cat,grass,stick,0", "dog,grass,stick,0"]
            + ["cat,sofa,stick,1", "dog,grass,ball,1", "cat,sofa,stick,2", "dog,grass,ball,2"]
        )
    )  # fmt: skip
    dataset = load(text, bias=["bg", "obj"])
    assert dataset["train"].aligned.tolist() == [True] * 4 + [False] * 2
    assert groups(dataset["train"]).tolist() == [0, 0, 4, 4, 1, 6]


def test_without_bias_columns_nothing_is_guessed(load):
    dataset = load(PLAIN, bias=[])
    assert dataset.bias_attributes == {}
    assert all(split.bias is None and split.aligned is None for split in dataset.splits.values())
    assert MetadataConfig(bias=()).bias_labels is False and MetadataConfig().bias_labels is True


def test_classes_are_in_numeric_order_where_all_are_numbers(load):
    text = "img_filename,y,split\n" + "".join(f"{s}_{y}.png,{y},{s}\n" for s in range(3) for y in (10, 9, 1, 0))
    dataset = load(text, bias=[])
    assert dataset.classes == ("0", "1", "9", "10")
    assert dataset["train"].labels.tolist() == [0, 1, 3, 2]  # 0_0, 0_1, 0_10, 0_9


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["10", "2", "-1", "2"], ("-1", "2", "10")),
        (["10", "2", "x"], ("10", "2", "x")),
        (["b", "a"], ("a", "b")),
        (["²", "3"], ("3", "²")),
        (["--1", "3"], ("--1", "3")),
    ],
)
def test_distinct_values_are_sorted_as_numbers_or_as_text(values, expected):
    assert distinct(values) == expected


def test_the_order_of_equal_numbers_does_not_depend_on_the_hash_seed():
    """It decides class numbers, so it must be the same in every process."""
    assert [distinct([str(n), f"0{n}"]) for n in range(1, 30)] == [(f"0{n}", str(n)) for n in range(1, 30)]


def test_a_byte_order_mark_windows_line_ends_quotes_and_unicode_are_read(load):
    names = ["a b.png", 'quote\'"".png', "grün.png", "<script>alert(1)<script>.png", "comma,name.png"]
    rows = "".join(f'"{name}",{i % 2},{i % 2},0\r\n' for i, name in enumerate(names))
    rest = "v0.png,0,0,1\r\nv1.png,1,1,1\r\nt0.png,0,0,2\r\nt1.png,1,1,2\r\n"
    dataset = load(b"\xef\xbb\xbf" + ("img_filename,y,place,split\r\n" + rows + rest).encode())
    expected = {name.replace('""', '"'): i % 2 for i, name in enumerate(names)}
    assert dict(zip(dataset["train"].paths, dataset["train"].labels.tolist(), strict=True)) == expected
    assert dataset["train"].paths == sorted(expected)


def test_the_order_of_rows_does_not_matter(load):
    lines = PLAIN.splitlines()
    one, other = load(PLAIN), load("\n".join([lines[0], *reversed(lines[1:])]))
    for name in ("train", "val", "test"):
        assert one[name].paths == other[name].paths
        assert one[name].labels.tolist() == other[name].labels.tolist()
        assert one[name].aligned.tolist() == other[name].aligned.tolist()


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (None, {}, "metadata.csv: No such file"),
        (PLAIN, {"bias": ["plaice"]}, "metadata.csv: no column 'plaice'; it has img_filename, y, place, split"),
        (PLAIN, {"label": "target"}, "metadata.csv: no column 'target'"),
        (PLAIN, {"filename": "file"}, "metadata.csv: no column 'file'"),
        (PLAIN, {"split": "part"}, "metadata.csv: no column 'part'"),
        ("", {}, "metadata.csv: no column 'img_filename'; it has none"),
        (PLAIN + "i.png,1,,2\n", {}, "metadata.csv: line 10 has no value in column 'place'"),
        (PLAIN + "i.png,1\n", {}, "metadata.csv: line 10 has no value in column 'place'"),
        ("img_filename,y,place,split\n\n\na.png,,0,0\n", {}, "metadata.csv: line 4 has no value in column 'y'"),
        (b"img_filename,y,place,split\n\xff\xfe.png,0,0,0\n", {}, "metadata.csv: not a CSV table"),
        (f"img_filename,y,place,split\n{'x' * 200_000},0,0,0\n", {}, "metadata.csv: not a CSV table"),
        (PLAIN + "i.png,1,0,0\n", {}, "no value of 'place' is the commonest of class '1', so none is aligned with it; "
                                      "leave it out of dataset.bias"),
        (PLAIN, {"splits": {"train": "train", "val": "1", "test": "2"}}, "dataset.splits has"),
        (PLAIN, {"splits": {"train": "0", "val": "one", "test": "2"}}, "dataset.splits has"),
        (PLAIN, {"splits": {"train": "0", "val": "1"}}, "dataset.splits has"),
        (PLAIN + "i.png,2,0,2\n", {}, "no training images of class 2"),
        ("img_filename,y,place,split\n" + "".join(f"{s}.png,0,0,{s}\n" for s in range(3)), {}, "at least two classes"),
        (PLAIN, {"splits": {"training": "0"}}, "dataset.splits"),
        (PLAIN, {"labels": "y"}, "dataset.labels: unknown setting; did you mean 'label'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(load, text, settings, message):
    with pytest.raises(DDBError) as error:
        load(text, **settings)
    assert message in str(error.value)


def test_a_folder_in_place_of_the_table_is_named(load, tmp_path):
    (tmp_path / "metadata.csv").mkdir()
    with pytest.raises(DDBError, match=r"metadata\.csv: Is a directory"):
        load(None)


def test_a_file_that_two_rows_of_a_split_name_is_refused(load):
    """Paths are the identity of images; the second row may say another class."""
    with pytest.raises(DDBError, match=r"a\.png"):
        load(PLAIN + "a.png,1,1,0\n")


@pytest.mark.parametrize("name", ["../outside.png", "/etc/outside.png", "a/../../outside.png"])
def test_a_file_outside_the_folder_is_refused(tmp_path, name):
    rows = "".join(f"{split}{i}.png,{i},{i},{split}\n" for split in (0, 1, 2) for i in (0, 1))
    (tmp_path / "metadata.csv").write_text(f"img_filename,y,place,split\n{rows}{name},0,0,0\n")
    with pytest.raises(DDBError, match=f"metadata.csv: {name} is not below {tmp_path}"):
        index(MetadataConfig(root=tmp_path), tmp_path)


@pytest.mark.parametrize("value", ["nan", "NaN", "N/A", "<NA>", "null", " "])
@pytest.mark.parametrize("column", ["img_filename", "y", "place", "split"])
def test_a_word_for_no_value_is_refused_in_any_column(load, column, value):
    row = {"img_filename": "i.png", "y": "1", "place": "0", "split": "2"} | {column: value}
    with pytest.raises(DDBError) as error:
        load(PLAIN + ",".join(row.values()) + "\n")
    assert str(error.value).endswith(f"metadata.csv: line 10 has no value in column {column!r} ({value!r})")


def test_labels_that_are_likely_mistakes_are_told(load):
    reading = load(PLAIN + "i.png, 1,0,0\nj.png,unknown,1,0\nk.png,unknown,1,0\n").reading
    assert reading == (
        "warning: ' 1' and '1' are each a class of its own; the same one, written in 2 ways?",
        "warning: 'unknown' is a class; does it stand for a missing one?",
    )


def test_absolute_paths_below_the_folder_are_paths_below_it(load, tmp_path):
    (tmp_path / "in").mkdir()
    rows = PLAIN.replace("\na.png", f"\n{tmp_path}/in/../a.png").replace("\nb.png", f"\n{tmp_path}//b.png")
    assert load(rows)["train"].paths == ["a.png", "b.png", "c.png", "d.png"]


def test_absolute_paths_through_a_link_to_the_folder_are_known(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    rows = "".join(f"{tmp_path}/{('real', 'link')[i]}/{s}{i}.png,{i},{i},{s}\n" for s in (0, 1, 2) for i in (0, 1))
    (tmp_path / "real/metadata.csv").write_text(f"img_filename,y,place,split\n{rows}")
    for root in ("real", "link"):
        dataset = index(MetadataConfig(root=tmp_path / root), tmp_path / root)
        assert dataset["train"].paths == ["00.png", "01.png"]


def test_paths_from_windows_are_read(load, put):
    put("a/b.png", "a/back\\slash.png", "c:odd.png")
    rows = (
        PLAIN.replace("\na.png", "\na\\b.png").replace("\nb.png", "\na/back\\slash.png").replace("\nc.p", "\nc:odd.p")
    )
    assert load(rows)["train"].paths == ["a/b.png", "a/back\\slash.png", "c:odd.png", "d.png"]
    with pytest.raises(DDBError, match=r"C:\\x\\i.png is not below"):
        load(PLAIN + "C:\\x\\i.png,1,1,0\n")
    with pytest.raises(DDBError, match=r"\.\./i.png is not below"):
        load(PLAIN + "..\\i.png,1,1,0\n")


def test_one_file_written_in_two_ways_stands_in_two_rows(load, tmp_path):
    for name in ("./a.png", "x/../a.png", f"{tmp_path}/a.png"):
        with pytest.raises(DDBError, match=r"a\.png stands in two rows of the same split"):
            load(PLAIN + f"{name},1,1,0\n")


def test_a_file_in_two_splits_is_told(load):
    expected = "warning: files in more than one split: 1, 1 of them with another class, such as a.png"
    assert load(PLAIN + "a.png,1,1,2\n").reading == (expected,)


def words(text, *names):
    """The table with other words in its split column."""
    rows = [line.rsplit(",", 1) for line in text.splitlines()[1:]]
    return text.splitlines()[0] + "\n" + "".join(f"{row},{names[int(split)]}\n" for row, split in rows)


def test_words_in_the_split_column_are_known_and_said(load):
    dataset = load(words(PLAIN, "Train", "valid", "testing"))
    assert [len(dataset[name]) for name in ("train", "val", "test")] == [4, 2, 2]
    expected = "splits: train from 'Train', val from 'valid', test from 'testing' in column 'split'"
    assert dataset.reading == (f"{expected} (dataset.splits says otherwise)",)


def test_the_splits_of_the_setting_come_before_words(load):
    names = {"train": "train", "val": "test", "test": "val"}
    dataset = load(words(PLAIN, "train", "test", "val"), splits=names)
    assert dataset["val"].paths == ["e.png", "f.png"] and not dataset.reading


def test_writing_the_default_splits_out_changes_nothing(load):
    """A resolved configuration, which names them, reads as the one that it was made from."""
    text = words(PLAIN, "train", "val", "test")
    written = load(text, splits=dict(MetadataConfig().splits))
    assert written.reading == load(text).reading and written["val"].paths == ["e.png", "f.png"]


@pytest.mark.parametrize(
    "names", [("train", "val", "fold2"), ("train", "val", "dev"), ("0", "1", "2.0"), ("a", "b", "c")]
)
def test_words_that_are_not_all_known_are_refused(load, names):
    with pytest.raises(DDBError, match=r"column 'split' says '.*'; dataset.splits has 0, 1, 2"):
        load(words(PLAIN, *names))


def test_images_beside_the_table_that_it_does_not_name_are_told(load, put):
    put("a.png", "z.png", "more/y.png")
    expected = "left out: 2 images that no split takes (more 1, not in a folder 1), such as more/y.png"
    assert load(PLAIN).reading == (expected,)
