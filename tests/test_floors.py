"""Imports run downward only, and folders of one floor never import each other."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent / "guard"
FLOORS = [
    {"lib"},
    {"events", "records"},
    {"roles"},
    {"relay", "filters", "jails", "protect"},
    {"smtp", "mail", "sources", "stores", "firewall", "feeds", "enrichment", "reporters", "web"}
    | {"pipeline", "chronicle", "exchange"},
    {"operations", "control", "lists"},
    {"parts"},
    {"hurrying", "watched"},
    {"daemon"},
    {"config"},
    {"listeners"},
    {"assemble"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}


def rooms_imported(path: Path) -> set[str]:
    """The first name below `guard` of every import in the file, those inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("guard.")}
    return found - {"__version__", "__file__"}


def test_imports_run_downward_only():
    """Every import of a part of Guard is of a lower floor, or of the same folder."""
    files = [path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"]
    assert len(files) > 20
    wrong = []
    for path in files:
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        wrong += [
            f"{path.relative_to(ROOT)} imports {other}"
            for other in rooms_imported(path)
            if other != room and FLOOR[other] >= FLOOR[room]
        ]
    assert not wrong


def test_every_room_has_a_floor():
    """A new folder or module is given its place on purpose."""
    rooms = {path.name.removesuffix(".py") for path in ROOT.iterdir() if path.suffix in ("", ".py")}
    assert rooms - {"__init__", "__pycache__"} <= FLOOR.keys()
