import gzip
import random
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from ddb.data.extract import BadArchiveError, extract
from ddb.data.fetch import fetch
from ddb.errors import DDBError
from tests.ddb.data.file_server import FILES, TARGZ, accept, below, content, download, link, source, tar, zipped


@pytest.mark.parametrize("kind", ["tar.gz", "tar", "zip"])
@pytest.mark.parametrize("at", ["middle", "between members", "last byte"])
def test_a_truncated_archive_is_deleted_and_the_next_try_starts_anew(server, monkeypatch, tmp_path, kind, at):
    source(monkeypatch, tmp_path, url=server.url, archive=kind, inside="birds")
    whole = {"tar.gz": TARGZ, "tar": tar(below("birds"), compress=False), "zip": zipped(below("birds"))}[kind]
    if at == "between members":  # tarfile takes this for the end
        cut = tar(below("birds"), compress=False)[: 512 + 586 * 512]
        server.body = gzip.compress(cut) if kind == "tar.gz" else cut if kind == "tar" else whole[:300_000]
    elif at == "middle":
        server.body = whole[: len(whole) // 2]
    else:
        server.body = whole[:-1] if kind != "tar" else whole[: whole.rindex(b"c") + 1]
    root = tmp_path / "birds"
    with pytest.raises(DDBError, match=rf"birds.tar.gz: not a whole {kind} archive .*deleted"):
        fetch("waterbirds", root, lambda folder: None)
    assert not root.exists() and not download(root).exists()
    server.body = whole
    fetch("waterbirds", root, accept)
    assert server.asked == [None, None] and content(root) == FILES


def test_damaged_bytes_are_one_clear_error(tmp_path):
    """Three turned bytes: BadArchiveError and nothing else, unless they hit what no checksum guards."""
    dice = random.Random(0)
    small = [("birds/a", b"a" * 2000), ("birds/d/b", dice.randbytes(700))]
    wholes = {"tar.gz": tar(small), "zip": zipped(small), "tar": tar(small, compress=False)}
    refused = 0
    for turn in range(300):
        kind = ["tar.gz", "zip", "tar"][turn % 3]
        damaged = bytearray(wholes[kind])
        for _ in range(3):
            damaged[dice.randrange(len(damaged))] ^= dice.randrange(1, 256)
        (tmp_path / "damaged").write_bytes(damaged)
        try:
            extract(tmp_path / "damaged", kind, "", tmp_path / f"out{turn}")
        except BadArchiveError:
            refused += 1
    assert refused > 150


def test_a_name_that_is_no_text_is_one_clear_error(tmp_path):
    (tmp_path / "damaged").write_bytes(zipped([("é", b"x")]).replace("é".encode(), b"\xff\xff"))
    with pytest.raises(BadArchiveError, match="not a whole zip archive"):
        extract(tmp_path / "damaged", "zip", "", tmp_path / "out")


def _symlink_in_zip():
    info = zipfile.ZipInfo("birds/x")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


SYM, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE


UNSAFE = {
    "tar up": tar([("birds/../../outside", b"x")]),
    "tar up, not wanted": tar([("elsewhere/../../../outside", b"x")]),
    "tar absolute": tar([("/birds/outside", b"x")]),
    "tar symlink up": tar([link("birds/x", "../outside", SYM)]),
    "tar symlink absolute": tar([link("birds/x", "/outside", SYM)]),
    "tar symlink through itself": tar([link("birds/d/x", "..", SYM), link("birds/y", "d/x/../outside", SYM)]),
    "tar file below a symlink": tar([link("birds/x", "train", SYM), ("birds/x/outside", b"x")]),
    "tar hardlink up": tar([link("birds/x", "../outside", HARD)]),
    "tar hardlink absolute": tar([link("birds/x", "/outside", HARD)]),
    "tar hardlink out of inside": tar([("outside", b"x"), link("birds/x", "outside", HARD)]),
    "tar hardlink to a symlink": tar([link("birds/d/x", "../train", SYM), link("birds/y", "birds/d/x", HARD)]),
    "tar device": tar([link("birds/x", "", tarfile.CHRTYPE)]),
    "tar pipe": tar([link("birds/x", "", tarfile.FIFOTYPE)]),
    "zip up": zipped([("birds/../../outside", b"x")]),
    "zip absolute": zipped([("/birds/outside", b"x")]),
    "zip up on Windows": zipped([("birds/..\\..\\outside", b"x")]),
    "zip symlink": zipped([(_symlink_in_zip(), "../outside")]),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_an_archive_that_leads_out_is_refused_whole(server, monkeypatch, tmp_path, case):
    kind = "zip" if case.startswith("zip") else "tar.gz"
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    source(monkeypatch, tmp_path, url=server.url, archive=kind, inside="birds")
    server.body, before = UNSAFE[case], set(tmp_path.rglob("*"))
    with pytest.raises(DDBError, match=r"unsafe archive: member '.*(outside|birds/).*' (is|leads|lies)"):
        fetch("waterbirds", tmp_path / "root", lambda folder: None)
    assert outside.read_bytes() == b"mine" and set(tmp_path.rglob("*")) == before and not Path("/outside").exists()


def test_links_that_stay_within_are_kept(server, tmp_path):
    server.body = tar([
        *below("birds"),
        link("birds/val", "test", SYM),
        link("birds/val2/c.jpg", "../val/c.jpg", SYM),
        link("birds/hard.jpg", "birds/test/c.jpg", HARD),
    ])  # fmt: skip
    root = fetch("waterbirds", tmp_path / "birds", lambda folder: None)
    assert [(root / name).read_bytes() for name in ("val/c.jpg", "val2/c.jpg", "hard.jpg")] == [b"c", b"c", b"c"]
    assert (root / "hard.jpg").samefile(root / "test/c.jpg")


def test_modes_in_an_archive_neither_hide_files_nor_make_them_run_as_another_user(server, tmp_path):
    hidden, risky = tarfile.TarInfo("birds/hidden"), tarfile.TarInfo("birds/risky")
    hidden.mode, risky.mode = 0o000, 0o6777
    server.body = tar([hidden, risky])
    root = fetch("waterbirds", tmp_path / "birds", lambda folder: None)
    assert [stat.S_IMODE((root / name).stat().st_mode) for name in ("hidden", "risky")] == [0o600, 0o755]


@pytest.mark.parametrize(("field", "wrong", "shown"), [("sha256", "0" * 64, "0" * 64), ("bytes", 1234, "1,234")])
def test_a_file_of_another_checksum_or_size_is_deleted(server, monkeypatch, tmp_path, field, wrong, shown):
    source(monkeypatch, tmp_path, url=server.url, archive="tar.gz", inside="birds", **{field: wrong})
    root = tmp_path / "birds"
    with pytest.raises(DDBError, match=f"has .* instead of {shown}; the download is deleted"):
        fetch("waterbirds", root, accept)
    assert not root.exists() and not download(root).exists()


def test_what_verify_refuses_is_not_put_in_place(server, tmp_path):
    def refuse(folder):
        accept(folder)
        raise DDBError("train holds 2 images instead of 4,795")

    root = tmp_path / "birds"
    root.mkdir()
    with pytest.raises(DDBError, match=r"not this data set: train holds 2 images.*nothing is put in place"):
        fetch("waterbirds", root, refuse)
    assert not list(root.iterdir()) and not download(root).exists()
    fetch("waterbirds", root, accept)
    assert server.asked == [None, None]


def test_an_archive_without_the_folder_is_refused(server, monkeypatch, tmp_path):
    source(monkeypatch, tmp_path, url=server.url, archive="tar.gz", inside="birds/train2")
    with pytest.raises(DDBError, match="holds no folder 'birds/train2'"):
        fetch("waterbirds", tmp_path / "birds", lambda folder: None)
    assert not (tmp_path / "birds").exists()
