"""What `ddb doctor` says of a machine."""

import pytest

from ray_jobs.doctor import NEEDED_SHARED, _shared_memory


@pytest.mark.parametrize(("size", "status"), [(NEEDED_SHARED, "ok"), (67_108_864, "note")])
def test_the_shared_memory_of_a_container_has_its_size_and_a_way_out(size, status):
    check = _shared_memory(int(size))
    assert check.status == status and check.detail.startswith(f"/dev/shm has {size / 1e6:,.0f} MB")
    assert ("docker run --shm-size" in check.detail) == (status == "note")
