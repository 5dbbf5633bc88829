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
    """Cats on sofas with sticks, dogs on grass with balls: in sorted order no value has the number of its class."""
    cat, dog = "cat,sofa,stick", "dog,grass,ball"
    train = [cat] * 3 + ["cat,grass,stick", "cat,sofa,ball"] + [dog] * 3 + ["dog,sofa,stick"]
    rows = [*(f"{row},0" for row in train), f"{cat},1", "dog,grass,stick,1", "cat,grass,ball,2", f"{dog},2"]
    table = "".join(f"{i:02d}.png,{row}\n" for i, row in enumerate(rows))
    dataset = load(f"img_filename,y,bg,obj,split\n{table}", bias=["bg", "obj"])
    assert dataset["train"].aligned.tolist() == [True] * 3 + [False, False] + [True] * 3 + [False]
    assert groups(dataset["train"]).tolist() == [0, 0, 0, 1, 2, 4, 4, 4, 7]
    assert dataset["val"].aligned.tolist() == [True, False] and groups(dataset["val"]).tolist() == [0, 6]
    assert dataset["test"].aligned.tolist() == [False, True] and groups(dataset["test"]).tolist() == [3, 4]


def test_without_bias_columns_nothing_is_guessed(load):
    dataset = load(PLAIN, bias=[])
    assert dataset.bias_attributes == {}
    assert all(split.bias is None and split.aligned is None for split in dataset.splits.values())
    assert MetadataConfig(bias=()).bias_labels is False and MetadataConfig().bias_labels is True


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["10", "2", "-1", "2"], ("-1", "2", "10")),
        (["10", "2", "x"], ("10", "2", "x")),
        (["b", "a"], ("a", "b")),
        (["²", "3"], ("3", "²")),
        (["--1", "3"], ("--1", "3")),
        # Equal numbers: the order decides class numbers, so it must not depend on the hash seed of the process.
        *(([str(n), f"0{n}"], (f"0{n}", str(n))) for n in range(1, 9)),
    ],
)
def test_distinct_values_are_sorted_as_numbers_or_as_text(values, expected):
    assert distinct(values) == expected


def test_a_byte_order_mark_windows_line_ends_quotes_and_unicode_are_read(load):
    names = ["a b.png", 'quote\'"".png', "grün.png", "<script>alert(1)<script>.png", "comma,name.png"]
    rows = "".join(f'"{name}",{i % 2},{i % 2},0\r\n' for i, name in enumerate(names))
    rest = "v0.png,0,0,1\r\nv1.png,1,1,1\r\nt0.png,0,0,2\r\nt1.png,1,1,2\r\n"
    dataset = load(b"\xef\xbb\xbf" + ("img_filename,y,place,split\r\n" + rows + rest).encode())
    expected = {name.replace('""', '"'): i % 2 for i, name in enumerate(names)}
    assert dict(zip(dataset["train"].paths, dataset["train"].labels.tolist(), strict=True)) == expected
    assert dataset["train"].paths == sorted(expected)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (None, {}, "metadata.csv: No such file"),
        (PLAIN, {"bias": ["plaice"]}, "metadata.csv: no column 'plaice'; it has img_filename, y, place, split"),
        ("", {}, "metadata.csv: not a CSV table: it is empty"),
        (PLAIN + "i.png,1\n", {}, "metadata.csv: not a CSV table: line 10 has 2 values, and the header has 4"),
        ("img_filename,y,place,split\n\n\na.png,,0,0\n", {}, "metadata.csv: line 4 has no value in column 'y'"),
        (b"img_filename,y,place,split\n\xff\xfe.png,0,0,0\n", {}, "metadata.csv: not a CSV table"),
        (f"img_filename,y,place,split\n{'x' * 200_000},0,0,0\n", {}, "metadata.csv: not a CSV table"),
        (PLAIN + "i.png,1,0,0\n", {}, "no value of 'place' is the commonest of class '1', so none is aligned with it; "
                                      "leave it out of dataset.bias"),
        (PLAIN, {"splits": {"train": "0", "val": "one", "test": "2"}}, "dataset.splits has"),
        (PLAIN, {"splits": {"train": "0", "val": "1"}}, "dataset.splits has"),
        (PLAIN, {"splits": {"training": "0"}}, "dataset.splits"),
        (PLAIN, {"labels": "y"}, "dataset.labels: unknown setting; did you mean 'label'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(load, text, settings, message):
    with pytest.raises(DDBError) as error:
        load(text, **settings)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["../outside.png", "/etc/outside.png", "a/../../outside.png"])
def test_a_file_outside_the_folder_is_refused(tmp_path, name):
    rows = "".join(f"{split}{i}.png,{i},{i},{split}\n" for split in (0, 1, 2) for i in (0, 1))
    (tmp_path / "metadata.csv").write_text(f"img_filename,y,place,split\n{rows}{name},0,0,0\n")
    with pytest.raises(DDBError, match=f"metadata.csv: {name} is not below {tmp_path}"):
        index(MetadataConfig(root=tmp_path), tmp_path)


@pytest.mark.parametrize(("value", "said"), [("N/A", " ('N/A')"), (" ", "")])
@pytest.mark.parametrize("column", ["img_filename", "y", "place", "split"])
def test_a_word_for_no_value_is_refused_in_any_column(load, column, value, said):
    row = {"img_filename": "i.png", "y": "1", "place": "0", "split": "2"} | {column: value}
    with pytest.raises(DDBError) as error:
        load(PLAIN + ",".join(row.values()) + "\n")
    assert str(error.value).endswith(f"metadata.csv: line 10 has no value in column {column!r}{said}")


def test_absolute_paths_below_the_folder_or_a_link_to_it_are_paths_below_it(tmp_path):
    (tmp_path / "real/in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    places = ("real/in/../", "link//")
    rows = "".join(f"{tmp_path}/{places[i]}{s}{i}.png,{i},{i},{s}\n" for s in (0, 1, 2) for i in (0, 1))
    (tmp_path / "real/metadata.csv").write_text(f"img_filename,y,place,split\n{rows}")
    for root in ("real", "link"):
        dataset = index(MetadataConfig(root=tmp_path / root), tmp_path / root)
        assert dataset["train"].paths == ["00.png", "01.png"]


def test_paths_from_windows_are_read(load, put):
    put("a/b.png", "a/back\\slash.png", "c:odd.png")
    rows = PLAIN.replace("\na.png", "\na\\b.png").replace("\nb.png", "\na/back\\slash.png")
    train = load(rows.replace("\nc.png", "\nc:odd.png"))["train"]
    assert train.paths == ["a/b.png", "a/back\\slash.png", "c:odd.png", "d.png"]
    for name, said in (("C:\\x\\i.png", r"C:\\x\\i.png"), ("..\\i.png", r"\.\./i.png")):
        with pytest.raises(DDBError, match=f"{said} is not below"):
            load(f"{PLAIN}{name},1,1,0\n")


def test_two_rows_of_one_file_are_refused_however_they_write_its_name(load, tmp_path):
    for name in ("a.png", "./a.png", "x/../a.png", f"{tmp_path}/a.png"):
        with pytest.raises(DDBError, match=r"a\.png stands in two rows of the same split"):
            load(PLAIN + f"{name},1,1,0\n")


def words(text, *names):
    """The table with other words in its split column."""
    rows = [line.rsplit(",", 1) for line in text.splitlines()[1:]]
    return text.splitlines()[0] + "\n" + "".join(f"{row},{names[int(split)]}\n" for row, split in rows)


def test_words_in_the_split_column_are_known_and_said(load):
    text = words(PLAIN, "Train", "valid", "testing")
    expected = "splits: train from 'Train', val from 'valid', test from 'testing' in column 'split'"
    # A resolved configuration, which names the default splits, reads as the one that it was made from.
    for dataset in (load(text), load(text, splits=dict(MetadataConfig().splits))):
        assert [len(dataset[name]) for name in ("train", "val", "test")] == [4, 2, 2]
        assert dataset.reading == (f"{expected} (dataset.splits says otherwise)",)


def test_the_splits_of_the_setting_come_before_words(load):
    names = {"train": "train", "val": "test", "test": "val"}
    dataset = load(words(PLAIN, "train", "test", "val"), splits=names)
    assert dataset["val"].paths == ["e.png", "f.png"] and not dataset.reading


@pytest.mark.parametrize(
    "names", [("train", "val", "fold2"), ("train", "val", "dev"), ("0", "1", "2.0"), ("a", "b", "c")]
)
def test_words_that_are_not_all_known_are_refused(load, names):
    with pytest.raises(DDBError, match=r"column 'split' says '.*'; dataset.splits has 0, 1, 2"):
        load(words(PLAIN, *names))
