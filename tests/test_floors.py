"""The arrow of dependencies: a room imports from rooms below it, `ddb` never from `ray_jobs`, `slurm` from neither."""

import ast
from pathlib import Path

FLOORS = (  # from the ground up; rooms of one floor know nothing of each other
    ("csv_text", "errors", "interrupt", "lazy", "machine", "process_memory", "progress"),
    ("json_lines", "randomness", "settings", "yaml_text"),
    ("store",),
    ("data", "evidence"),
    ("training",),
    ("diffusion", "features"),
    ("probe", "signals"),
    ("recipes",),
    ("config", "second_opinion"),
    ("config_file", "stages"),
    ("defaults", "experiment", "explain"),
    ("audit", "cost", "frames", "local", "memory", "sweep"),
    ("clean", "report", "schema"),
)
TYPES_ONLY = {("stages", "cost"), ("stages", "experiment")}  # in annotations, never at run time


def imports(path):
    """(module, whether it is imported for annotations alone) of every import in a file."""
    tree = ast.parse(path.read_text())
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(ast.Module(node.body, []))
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if "." in node.module else [f"{node.module}.{each.name}" for each in node.names]
            yield from ((name, id(node) in guarded) for name in names)
        elif isinstance(node, ast.Import):
            yield from ((each.name, id(node) in guarded) for each in node.names)


def test_a_room_imports_from_floors_below_it():
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    wrong, seen = [], set()
    for path in sorted(Path("ddb").rglob("*.py")):
        room = path.with_suffix("").parts[1]
        seen.add(room)
        for name, for_types in imports(path):
            package, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if package != "ddb" or other == room or room == "__init__":
                continue
            if floor[other] >= floor[room] and not (for_types and (room, other) in TYPES_ONLY):
                wrong.append(f"{path} imports {name}")
    assert not wrong and seen - {"__init__"} == floor.keys()


def test_packages_know_only_those_below_them():
    forbidden = {"ddb": ("ray", "ray_jobs", "slurm"), "slurm": ("ddb", "ray_jobs")}
    wrong = [
        f"{path} imports {name}"
        for package, others in forbidden.items()
        for path in Path(package).rglob("*.py")
        for name, _ in imports(path)
        if name.partition(".")[0] in others
    ]
    assert not wrong
