"""The rules of docs/architecture.md that a parser can check: each takes a source file and yields what breaks it."""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("run.py", "edurise", "handlers", "actors", "schemas")
EVERYTHING = (*PRODUCT, "alembic", "benchmarks", "tests")

FILE_LINES, TEST_FILE_LINES, CLASS_LINES, FUNCTION_LINES, BASE_HANDLER_LINES = 400, 600, 250, 60, 200

WALL_CLOCK = frozenset(
    {
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "time.ctime",
        "time.gmtime",
        "time.localtime",
        "time.strftime",
        "time.time",
        "time.time_ns",
    }
)
ENVIRONMENT = frozenset({"environs.Env", "os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv"})
SHAPELESS_NAMES = frozenset({"common", "helpers", "misc", "util", "utils"})


@dataclass(frozen=True)
class Source:
    """A Python file: its path below the project, with slashes, and its text."""

    path: str
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, self.path)

    @functools.cached_property
    def aliases(self) -> dict[str, str]:
        """What each imported name stands for, dotted."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    found[name.asname or name.name.partition(".")[0]] = (
                        name.name if name.asname else name.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and node.module:
                for name in node.names:
                    found[name.asname or name.name] = f"{node.module}.{name.name}"
        return found

    def dotted(self, node: ast.expr) -> str | None:
        """Return what an expression such as ``dt.now`` names after imports, None if it does not start at an import."""
        if isinstance(node, ast.Name):
            return self.aliases.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self.dotted(node.value)
            return f"{owner}.{node.attr}" if owner else None
        return None

    def names(self) -> Iterator[tuple[int, str]]:
        """Yield line and dotted name of everything used or imported."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute) and (name := self.dotted(node)):
                yield node.lineno, name
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)
            elif isinstance(node, ast.Import):
                yield from ((node.lineno, name.name) for name in node.names)

    def calls(self, *attributes: str) -> Iterator[ast.Call]:
        """Yield the calls of methods with these names, whatever the object."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in attributes:
                yield node


Rule = Callable[[Source], Iterator[str]]


def sources(*below: str) -> list[Source]:
    """Return the Python files of the project below these paths."""
    files: Iterable[Path] = (
        file
        for name in below
        for file in ([ROOT / name] if name.endswith(".py") else sorted((ROOT / name).rglob("*.py")))
        if file.exists()
    )
    return [Source(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files]


def one_commit(source: Source) -> Iterator[str]:
    """Only the unit of work commits or rolls back."""
    if source.path != "edurise/db.py":
        yield from (f"{source.path}:{call.lineno} commits or rolls back" for call in source.calls("commit", "rollback"))


def one_environment(source: Source) -> Iterator[str]:
    """Only config.py reads the environment."""
    if source.path != "edurise/config.py":
        found = {(line, name) for line, name in source.names() if name in ENVIRONMENT}
        yield from (f"{source.path}:{line} reads the environment ({name})" for line, name in sorted(found))


def one_clock(source: Source) -> Iterator[str]:
    """Only the adapter of the Clock port looks at the wall clock; durations are measured by ``time.monotonic``."""
    if source.path != "edurise/adapters/clock.py":
        found = {(line, name) for line, name in source.names() if name in WALL_CLOCK}
        yield from (f"{source.path}:{line} looks at the wall clock ({name})" for line, name in sorted(found))


def own_fields(source: Source) -> Iterator[str]:
    """Schemas use the project's strict fields: bare ones take 2.9 as 2 and "yes" as true. They may be derived from."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and (source.dotted(node.func) or "").startswith("marshmallow.fields."):
            yield f"{source.path}:{node.lineno} uses a bare marshmallow field"


def one_writer(source: Source) -> Iterator[str]:
    """Frames leave through wire.py only."""
    if source.path != "handlers/ws/wire.py":
        yield from (f"{source.path}:{call.lineno} calls write_message" for call in source.calls("write_message"))


def sizes(source: Source) -> Iterator[str]:
    """No file, class or function outgrows what a reader can hold."""
    cap = TEST_FILE_LINES if source.path.startswith("tests/") else FILE_LINES
    if (lines := len(source.text.splitlines())) > cap:
        yield f"{source.path} has {lines} lines, more than {cap}"
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        cap = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
        if source.path == "handlers/base.py" and isinstance(node, ast.ClassDef):
            cap = BASE_HANDLER_LINES
        if lines > cap:
            yield f"{source.path}:{node.lineno} {node.name} has {lines} lines, more than {cap}"


def named_for_content(source: Source) -> Iterator[str]:
    """A module is named for what it holds."""
    if shapeless := SHAPELESS_NAMES & set(Path(source.path).with_suffix("").parts):
        yield f"{source.path} is called {', '.join(sorted(shapeless))}"


def root_is_on_top(source: Source) -> Iterator[str]:
    """Nothing imports run.py, which imports everything."""
    found = {line for line, name in source.names() if name.partition(".")[0] == "run"}
    yield from (f"{source.path}:{line} imports run" for line in sorted(found))


def reasons(source: Source) -> Iterator[str]:
    """Whoever opts out of a check says of which and why."""
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type != tokenize.COMMENT:
            continue
        where = f"{source.path}:{token.start[0]}"
        if "noqa" in token.string and not re.search(r"# noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*\s+[-–—#]?\s*\S", token.string):
            yield f"{where} opts out of ruff without a rule and a reason"
        if "type: ignore" in token.string and not re.search(r"# type: ignore\[[\w-]+(, ?[\w-]+)*\]\s+\S", token.string):
            yield f"{where} opts out of mypy without a code and a reason"


def system_calls(found: Iterable[Source]) -> dict[str, int]:
    """Count, by file, the calls that run as the system role: ``….system(…)``, modules' functions apart."""
    counted: Counter[str] = Counter()
    for source in found:
        for call in source.calls("system"):
            if source.dotted(call.func) is None:
                counted[source.path] += 1
    return dict(counted)
