"""The documents' commands: each has a test or a reason for none; those without SLURM are run in a fresh clone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fresh_clone import FreshClone
from tests.printed_commands import CLONE, DOCUMENTS, WAYS, line, printed, run_by

BAR_CLASSES = ("climbing", "diving", "fishing", "pole vaulting", "racing", "throwing")


def test_every_printed_command_is_run_by_a_test_or_has_a_reason():
    commands = {command: document for document in DOCUMENTS for command in printed(Path(document))}
    unknown = [f"{document}: {command}" for command, document in commands.items() if command not in WAYS]
    assert not unknown, "no entry in WAYS of tests/printed_commands.py"
    assert not [command for command in WAYS if command not in commands], "no document prints this any more"


def test_every_entry_names_a_test_that_exists_or_a_reason():
    for command, way in WAYS.items():
        assert bool(way.test) != bool(way.not_here), command
        if way.test:
            file, _, name = way.test.partition("::")
            assert f"def {name}(" in Path(file).read_text(), f"{command}: there is no {way.test}"


def test_what_counts_as_a_command(tmp_path):
    document = tmp_path / "README.md"
    document.write_text(
        "Text.\n\n```\n# why\nmake a   # what for\nb 'x  y' && c#d\n```\n\n```yaml\nkey: value\n```\n\n"
        "    e --f \\\n        g\n\nA list:\n    - no command\n\n```sh\nh\n```\n"
        "`ddb status` tells, `ddb status\nmine` too.\n"
    )
    assert printed(document) == ["make a", "b 'x  y' && c#d", "h", "e --f g", "ddb status mine"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    with FreshClone(tmp_path_factory.mktemp("clone")) as clone:
        _make_images(clone.project)
        yield clone


@pytest.mark.cluster
@pytest.mark.long
@pytest.mark.parametrize("command", run_by(CLONE))
def test_it_does_what_the_document_says(command, clone):
    """In the order of WAYS: later commands find what earlier ones have computed."""
    way = WAYS[command]
    # Where the data sets are is a reader's own business; here they lie where the README says that they are looked for.
    done = clone.shell(f"export DDB_DATA=data && {line(command)}")
    said = done.stdout + done.stderr
    assert done.returncode == way.exit_code and "Traceback" not in said, said[-4000:]
    assert way.says in said


def _make_images(project: Path) -> None:
    """`my_images`, and a small Waterbirds and BAR where they are looked for."""
    random = np.random.default_rng(0)

    def draw(*names: str) -> None:
        for name in names:
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)

    draw(*(f"my_images/{name}/{i}.png" for name in ("cat", "dog") for i in range(20)))
    draw(
        *(f"data/bar/{split}/{name}_{i}.jpg" for split in ("train", "test") for name in BAR_CLASSES for i in range(10))
    )
    birds = project / "data" / "waterbirds"
    rows = ["img_id,img_filename,y,split,place,place_filename"]
    for i in range(48):  # each class on each place in each split
        bird, place, split = i % 2, i // 2 % 2, i // 4 % 3
        draw(f"data/waterbirds/a.species/{i}.jpg")
        rows.append(f"{i},a.species/{i}.jpg,{bird},{split},{place},x.jpg")
    (birds / "metadata.csv").write_text("\n".join(rows) + "\n")
