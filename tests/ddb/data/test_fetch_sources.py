import tarfile

import pytest

from ddb.data.fetch import fetch, load_sources
from ddb.errors import DDBError
from tests.ddb.data.file_server import accept, source


@pytest.mark.parametrize("name", ["bffhq", "imagenet9", "urbancars"])
def test_what_cannot_be_downloaded_says_where_files_go(monkeypatch, tmp_path, name):
    monkeypatch.delenv("DDB_SOURCES", raising=False)
    root = tmp_path / "data" / name
    with pytest.raises(DDBError) as caught:
        fetch(name, root, accept)
    shown = {"bffhq": "<pct>/align/<class>/", "imagenet9": "imagenet-a/<wnid>/*.jpg", "urbancars": "test/<group>"}[name]
    assert f"{root}/" in str(caught.value) and shown in str(caught.value) and "{root}" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_mirror_serves_what_has_no_public_address(server, monkeypatch, tmp_path):
    source(monkeypatch, tmp_path, "bffhq", url=server.url, archive="tar.gz", inside="birds")
    fetch("bffhq", tmp_path / "bffhq", accept)
    assert any((tmp_path / "bffhq").iterdir())


def test_the_built_in_sources_are_whole(monkeypatch):
    monkeypatch.delenv("DDB_SOURCES", raising=False)
    sources = load_sources()
    assert sorted(sources) == ["bar", "bffhq", "imagenet9", "pacs_biased", "urbancars", "waterbirds"]
    assert sources["bar"].archive == "zip" and sources["bar"].inside == "BAR-master"
    wnids = {word for word in sources["imagenet9"].instructions.split() if word.startswith("n0")}
    assert len(wnids) == 42


def test_ddb_sources_replaces_field_by_field(monkeypatch, tmp_path):
    monkeypatch.delenv("DDB_SOURCES", raising=False)
    before = load_sources()
    source(monkeypatch, tmp_path, url="https://mirror.example.org/w.tar.gz")
    after = load_sources()
    assert after["waterbirds"].url == "https://mirror.example.org/w.tar.gz"
    assert after["waterbirds"].inside == before["waterbirds"].inside and after["bar"] == before["bar"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("waterbirds: {urll: x}", r"waterbirds.urll: unknown setting; did you mean 'url'\?"),
        ("waterbird: {url: x}", "'waterbird' is unknown; did you mean 'waterbirds'"),
        ("waterbirds: {url: 'file:///etc/x'}", "waterbirds.url: "),
        ("waterbirds: {url: 'http://host'}", "waterbirds.url: "),
        ("waterbirds: {inside: ../up}", "waterbirds.inside: must be a folder within the archive"),
        ("waterbirds: {sha256: abc}", "waterbirds.sha256: "),
        ("bffhq: {url: 'https://host/b.zip'}", "bffhq: a url needs archive"),
        ("waterbirds: {url: null}", "waterbirds: needs a url or instructions"),
        ("- waterbirds", "must hold entries"),
        ("waterbirds: text", "must hold entries"),
        ("waterbirds: {", "not YAML"),
    ],
)
def test_a_mistake_in_a_mirror_file_names_the_file_and_the_field(monkeypatch, tmp_path, text, message):
    path = tmp_path / "mirror.yaml"
    path.write_text(text)
    monkeypatch.setenv("DDB_SOURCES", str(path))
    with pytest.raises(DDBError, match=message) as caught:
        load_sources()
    assert str(path) in str(caught.value)


def test_a_missing_mirror_file_and_an_unknown_name_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("DDB_SOURCES", str(tmp_path / "none.yaml"))
    with pytest.raises(DDBError, match=r"none.yaml: No such file"):
        load_sources()
    monkeypatch.delenv("DDB_SOURCES")
    with pytest.raises(DDBError, match="'waterbird' has no source; did you mean 'waterbirds'"):
        fetch("waterbird", tmp_path / "birds", accept)


def test_an_old_python_and_a_missing_curl_are_told_before_the_download(server, monkeypatch, tmp_path):
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(DDBError, match=r"update to 3\.10\.12, 3\.11\.4"):
        fetch("waterbirds", tmp_path / "birds", accept)
    monkeypatch.undo()
    source(monkeypatch, tmp_path, url=server.url)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DDBError, match="needs the program curl, which is not here; name a mirror"):
        fetch("waterbirds", tmp_path / "birds", accept)
    assert not server.asked
