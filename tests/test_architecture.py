"""The import rule of ARCHITECTURE.md, and what every file of the package has."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mailprov"
FILES = sorted(PACKAGE.rglob("*.py"))

# Who may import whom, room by room: a folder of mailprov/, or a file right in it. A room may always import itself.
MAY: dict[str, set[str]] = {
    "errors": set(),
    "extras": set(),
    "model": {"errors"},
    "assets": {"errors"},
    "encode": {"errors"},
    "shell": {"model"},
    "local_files": {"errors"},
    "render": {"assets", "encode"},
    "providers": set(),
    "encrypted": {"errors", "extras", "local_files", "model"},
    "declaration": {"assets", "encrypted", "errors", "extras", "local_files", "model", "providers"},
    "dns": {"errors", "model", "providers"},
    "deliverability": {"dns", "model", "providers"},
    "resources": {"errors", "model"},
    "platform": {"errors", "model"},
    "standard": {"assets", "engine", "model", "platform", "resources", "roles"},
    "roles": {"errors", "encode", "model", "render", "resources"},
    "engine": {"assets", "errors", "model", "shell"},
    "credentials": {"encode", "errors", "local_files", "model"},
    "connection": {"errors", "local_files", "model", "shell"},
    "lab": {"errors"},
    "checks": {"errors", "local_files", "model"},
    "profiles": {"assets", "encode", "errors", "extras", "model", "providers", "render"},
    "doctor": {"checks", "engine", "errors", "model"},
    "expectations": {"assets", "checks", "declaration", "dns", "engine", "errors", "model", "resources", "roles"},
    "observer": {"errors", "model", "engine", "checks"},
    "report": {
        *("checks", "deliverability", "doctor", "encode", "engine", "errors", "expectations", "model"),
        *("observer", "resources"),
    },
}
ANYTHING = {"commands", "workflows", "__main__", "__init__"}
"""rooms that join the others"""

EDGES = (
    *(f"{room}/" for room in ANYTHING),
    "__init__.py",
    "__main__.py",
    "assets.py",
    "checks/",
    "connection/",
    "credentials/",
    "declaration/",
    "dns/resolver.py",
    "encrypted/",
    "extras.py",
    "lab/",
    "local_files.py",
    "profiles/signing.py",
    "profiles/typeset.py",
    "providers/",
)
"""folders and files with I/O, a clock, the environment or chance; everything else has none"""
IMPURE_MODULES = {"os", "socket", "subprocess", "time", "random", "secrets", "threading", "tempfile", "shutil", "sys"}

ONLY: dict[str, set[str]] = {
    "paramiko": {"connection/ssh.py"},
    "jinja2": {"render.py"},
    "yaml": {"providers/", "declaration/"},
    "dns": {"dns/resolver.py"},
    "jsonschema": {"declaration/"},
    "passlib": {"credentials/passwords.py"},
    "idna": {"declaration/"},
    "segno": {"profiles/qr.py"},
    "typst": {"profiles/typeset.py"},
    "openpyxl": {"declaration/workbook.py"},
    "rich": {"commands/console.py"},
    "distributed": {"workflows/fleet.py"},
    "pyrage": {"encrypted/age.py"},
    "click": {"commands/"},
    "cryptography": {
        *("checks/", "connection/", "declaration/", "encrypted/age.py"),
        *("profiles/signing.py", "resources/certificates/"),
    },
}
"""third-party packages, each with the files or folders that may import it"""

SHARED_BY_RESOURCES = {"mailprov.resources.rows": {"*"}, "mailprov.resources.common": {"*"}}
"""helpers for resources, which manage nothing themselves"""

LONGEST = 400
"""lines of one file: longer ones do two things"""


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def module_of(path: Path) -> str:
    return ".".join(("mailprov", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def modules() -> frozenset[str]:
    return frozenset(map(module_of, FILES))


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Each imported module with the imported name ("" for the module as such)."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place(path)}:{node.lineno}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner, "") if inner in modules() else (node.module or "", alias.name)


def ours(path: Path) -> Iterator[tuple[str, str]]:
    return ((module, name) for module, name in imports(path) if module.partition(".")[0] == "mailprov")


@pytest.mark.parametrize("path", FILES, ids=place)
def test_imports_only_what_its_room_may(path: Path) -> None:
    here = room(module_of(path))
    if here in ANYTHING:
        return
    allowed = MAY[here] | {here}
    wrong = {module for module, _ in ours(path) if room(module) not in allowed and module != "mailprov"}
    assert not wrong, f"{place(path)} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "resources").rglob("*.py")), ids=place)
def test_a_resource_sees_no_other_resource(path: Path) -> None:
    for module, name in ours(path):
        own = f"mailprov.resources.{path.parent.name}."
        if room(module) == "resources" and path.name != "__init__.py" and not module.startswith(own):
            shared = SHARED_BY_RESOURCES.get(module, set())
            assert shared & {"*", name}, f"{place(path)} imports {module} {name}"


@pytest.mark.parametrize("path", FILES, ids=place)
def test_third_party_packages_stay_where_they_belong(path: Path) -> None:
    for module, _ in imports(path):
        package = module.partition(".")[0]
        if package in ONLY:
            assert any(place(path).startswith(prefix) for prefix in ONLY[package]), f"{place(path)} imports {package}"


def test_every_third_party_package_has_its_place() -> None:
    import sys

    imported = {module.partition(".")[0] for path in FILES for module, _ in imports(path)}
    assert imported - set(sys.stdlib_module_names) - {"mailprov"} == ONLY.keys()


@pytest.mark.parametrize("path", [path for path in FILES if not place(path).startswith(EDGES)], ids=place)
def test_the_middle_is_pure(path: Path) -> None:
    used = {module.partition(".")[0] for module, _ in imports(path)} & IMPURE_MODULES
    assert not used, f"{place(path)} imports {', '.join(sorted(used))}"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("open", "print", "input", "datetime.now", "datetime.today", "Path.cwd"), (
                f"{place(path)}:{node.lineno} calls {called}"
            )


DOORS = {
    "local_files.py": "the door",
    "assets.py": "shipped files",
    "providers/catalogue.py": "a shipped file",
    "commands/__init__.py": "/dev/null",
    "extras.py": "what installers leave beside the package",
    "commands/init.py": "makes a file, and never over another one",
}
"""files that may open files, and which: all others go through local_files"""
OPENING = {"open", "os.open", "os.fdopen", "io.open"}
OPENING_METHODS = {"read_text", "read_bytes", "write_text", "write_bytes", "load_cert_chain"}


@pytest.mark.parametrize("path", [p for p in FILES if not place(p).startswith(("lab/", *DOORS))], ids=place)
def test_files_are_opened_at_one_door(path: Path) -> None:
    """The lab is left out: what it reads and writes, it has made itself, as root, where nobody else may."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called, words = ast.unparse(node.func), ast.unparse(node)
            of_a_path = isinstance(node.func, ast.Attribute) and (
                node.func.attr in OPENING_METHODS or (node.func.attr == "open" and "encoding=" in words)
            )
            opens = called in OPENING and "os.O_DIRECTORY" not in words
            assert not (opens or of_a_path or "cafile=" in words), f"{place(path)}:{node.lineno} calls {called}"


def test_nothing_imports_the_command_line() -> None:
    rooms = ((path, room(module)) for path in FILES for module, _ in ours(path))
    found = {place(path) for path, other in rooms if other == "commands" != room(module_of(path))}
    assert found == {"__main__.py"}


@pytest.mark.parametrize("path", [path for path in FILES if room(module_of(path)) == "workflows"], ids=place)
def test_workflows_print_nothing(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("print", "input") and not called.startswith(("sys.stdout", "sys.stderr")), (
                f"{place(path)}:{node.lineno} calls {called}"
            )


def test_no_circles_between_rooms() -> None:
    graph = {here: {other for other in MAY[here] if other in MAY} for here in MAY}
    done: set[str] = set()
    while len(done) < len(graph):
        free = {here for here, others in graph.items() if here not in done and others <= done}
        assert free, f"a circle among {', '.join(sorted(graph.keys() - done))}"
        done |= free


@pytest.mark.parametrize("path", FILES, ids=place)
def test_everything_public_is_documented(path: Path) -> None:
    missing = [f"{name}, line {line}" for name, line in undocumented(tree(path))]
    assert not missing, f"{place(path)}: no docstring: {'; '.join(missing)}"


def undocumented(module: ast.Module) -> Iterator[tuple[str, int]]:
    if not ast.get_docstring(module):
        yield "the module", 1
    for node in module.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield node.name, node.lineno
        for inner in node.body if isinstance(node, ast.ClassDef) else ():
            # `def close(self) -> None: ...` is what somebody else's thing is called
            public = isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_")
            if public and not ast.get_docstring(inner) and ast.unparse(inner.body[-1]) != "...":
                yield f"{node.name}.{inner.name}", inner.lineno


@pytest.mark.parametrize("path", FILES, ids=place)
def test_every_signature_is_typed(path: Path) -> None:
    """mypy --strict says more; this says it without mypy."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [each.arg for each in given if each.annotation is None and each.arg not in ("self", "cls")]
            assert node.returns is not None, f"{place(path)}:{node.lineno}: {node.name} returns what?"
            assert not bare, f"{place(path)}:{node.lineno}: {node.name}: untyped {', '.join(bare)}"


@pytest.mark.parametrize("path", [*FILES, *sorted(PACKAGE.rglob("*.sh"))], ids=place)
def test_no_file_is_a_giant(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.xdist_group("together")
def test_tests_that_share_a_host_stay_in_one_process(request: pytest.FixtureRequest) -> None:
    """pytest 9.2 and pytest-xdist 3.8 do not understand each other: no group is kept, and nobody says so."""
    if request.config.getoption("loadgroup", default=False):
        assert request.node.nodeid.endswith("@together")
