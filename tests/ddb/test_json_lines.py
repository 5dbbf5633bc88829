import pytest

from ddb.errors import DDBError
from ddb.json_lines import mend

WHOLE = b'{"step": 1}\n{"step": 2}\n'


@pytest.mark.parametrize(
    ("tail", "cut"),
    [(b'{"step"', 7), (b'{"step": 3}', 11), (b"\0\0\0", 3), (b'{"a\n\0\0\n\xff', 8), (b"3\n", 2)],
)
def test_what_follows_the_last_whole_line_is_cut_off(tail, cut, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(WHOLE + tail)
    assert mend(path) == cut and path.read_bytes() == WHOLE
    assert mend(path) == 0 and path.read_bytes() == WHOLE


def test_half_of_the_first_line_leaves_an_empty_file(tmp_path):
    (tmp_path / "a").write_bytes(b"{")
    assert mend(tmp_path / "a") == 1 and (tmp_path / "a").read_bytes() == b""
    assert mend(tmp_path / "absent") == 0 and not (tmp_path / "absent").exists()


def test_a_damaged_line_that_whole_ones_follow_is_told_and_nothing_is_cut(tmp_path):
    (tmp_path / "a").write_bytes(damaged := WHOLE + b'{"st{"step": 3}\n' + WHOLE)
    with pytest.raises(DDBError, match=r"a: line 3 is damaged, and others follow; `head -n 2` has"):
        mend(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == damaged
