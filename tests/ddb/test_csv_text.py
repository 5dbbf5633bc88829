"""CSV tables are read strictly."""

import pytest

from ddb.csv_text import read


@pytest.fixture
def written(tmp_path):
    """A function that writes a text, and returns the path."""

    def write(text):
        (tmp_path / "a.csv").write_text(text, encoding="utf-8")
        return tmp_path / "a.csv"

    return write


def test_values_are_texts_without_the_blanks_after_commas(written):
    table = read(written('\ufeffa, b, c\n1, x y, "p, q"\n\n01,,"say ""hi"""\n'))
    assert table.columns == ["a", "b", "c"] and table.lines == [2, 4]
    assert table.rows == [{"a": "1", "b": "x y", "c": "p, q"}, {"a": "01", "b": "", "c": 'say "hi"'}]


def test_a_comma_at_the_end_and_a_value_of_two_lines_are_read(written):
    table = read(written('a,b\n1,2,\n"two\nlines",3\n4,5\n'))
    assert [row["a"] for row in table.rows] == ["1", "two\nlines", "4"] and table.lines == [2, 3, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a,b\n1,x\n2,"9 inch\n3,y\n4,"7 inch\n', "line 3: a quote is not closed, or stands inside a value"),
        ('a,b\n1,x\n2,"9 inch\n3,y\n', "line 3: a quote is not closed"),
        ('a,b\n1,"9 inch\n2,y\n3,7 inch"\n4,z\n', "line 2: a quote opens a value of several lines that look like rows"),
        ("a,b\n1,2\n1,2,3\n", "line 3 has 3 values, and the header has 2"),
        ("a,b\n1\n", "line 2 has 1 values, and the header has 2"),
        ("a,b,a\n1,2,3\n", "the column 'a' stands twice"),
        ("\n\n", "it is empty"),
        ("", "it is empty"),
    ],
)
def test_what_would_be_shifted_or_swallowed_is_refused_with_its_line(written, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read(written(text))
    assert "\n" not in str(error.value)
