from ddb.data.folder import FolderConfig
from ray_jobs.bench_data import bench_data


def test_every_part_is_measured(tmp_path, monkeypatch):
    from PIL import Image

    for name in ("cat", "dog"):
        for i in range(10):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("RGB", (20, 20), (i, i, i)).save(tmp_path / name / f"{i}.png")
    monkeypatch.setenv("DDB_CACHE", str(tmp_path / "cache"))
    found = bench_data(FolderConfig(root=tmp_path, image_size=16), rounds=1, small_files=400)
    assert found["images"] == 14 and found["second_use"] > 0
    assert found["prepare_to_pillow"] == found["seconds"]["prepare"][0] / found["seconds"]["pillow"][0]
    assert [row["files"] for row in found["fingerprint"]] == [100, 400]
