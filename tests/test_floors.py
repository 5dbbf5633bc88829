"""The arrow of dependencies: a room imports from rooms below it, `ddb` never from `ray_jobs`, `slurm` from neither."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

FLOORS = (  # from the ground up; rooms of one floor know nothing of each other
    ("csv_text", "errors", "interrupt", "lazy", "machine", "process_memory", "progress"),
    ("json_lines", "randomness", "settings", "yaml_text"),
    ("store",),
    ("data",),
    ("training",),
    ("diffusion", "features"),
    ("signals",),
    ("recipes",),
    ("stages",),
    ("experiment",),
    ("audit", "models"),
    ("clean", "report"),
)


def imports(path):
    """Every module that a file imports, also for annotations alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if "." in node.module else [f"{node.module}.{each.name}" for each in node.names]
            yield from names
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def test_a_room_imports_from_floors_below_it():
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    wrong, seen = [], set()
    for path in sorted(Path("ddb").rglob("*.py")):
        room = path.with_suffix("").parts[1]
        seen.add(room)
        for name in imports(path):
            package, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if package != "ddb" or other == room or room == "__init__":
                continue
            if floor[other] >= floor[room]:
                wrong.append(f"{path} imports {name}")
    assert not wrong and seen - {"__init__"} == floor.keys()


def test_packages_know_only_those_below_them():
    forbidden = {"ddb": ("ray", "ray_jobs", "slurm"), "slurm": ("ddb", "ray_jobs")}
    wrong = [
        f"{path} imports {name}"
        for package, others in forbidden.items()
        for path in Path(package).rglob("*.py")
        for name in imports(path)
        if name.partition(".")[0] in others
    ]
    assert not wrong


def imported_at_once(node):
    """Imports that run when a module is imported: not those in functions, nor for annotations alone."""
    for child in ast.iter_child_nodes(node):
        lazily = isinstance(child, ast.FunctionDef | ast.Lambda)
        if lazily or (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            continue
        if isinstance(child, ast.ImportFrom) and child.module:
            yield from (f"{child.module}.{each.name}" for each in child.names)
            yield child.module
        yield from imported_at_once(child)


def test_no_module_imports_itself_by_way_of_others():
    paths = [path for package in ("ddb", "ray_jobs", "slurm") for path in Path(package).rglob("*.py")]
    modules = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    graph = {
        name: {each for each in imported_at_once(ast.parse(path.read_text())) if each in modules and each != name}
        for name, path in modules.items()
    }
    for name, needed in graph.items():  # `from room import module` needs the module, not the whole room
        graph[name] = {each for each in needed if not any(other.startswith(f"{each}.") for other in needed)}
    assert list(TopologicalSorter(graph).static_order())  # which raises CycleError
