"""The documents say of the settings what the code says, and lead nowhere that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "edurise" / "config.py"
OPERATIONS = ROOT / "docs" / "operations.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ROW = re.compile(r"^\| `([A-Z][A-Z_0-9]+)` \| (.*?) \| (.+) \|$", re.MULTILINE)
SETTING = re.compile(r"\bEDU_[A-Z0-9_]+|\b(?:DATABASE|REDIS|AMQP)(?:_[A-Z]+)*_URL\b|\bPORT\b")
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")
OF_TESTS = re.compile(r"\bTEST_\w+")


def settings_of_the_code() -> dict[str, object]:
    """Every setting by its full name, with its default where the default is a literal."""
    found: dict[str, object] = {}
    for function in ast.walk(ast.parse(CONFIG.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        prefix = "" if function.name == "_bare" else "EDU_"
        for call in ast.walk(function):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and len(call.args) == 2):
                continue
            if isinstance(call.func.value, ast.Name) and call.func.value.id == "env":
                name, default = call.args
                found[prefix + str(ast.literal_eval(name))] = _value(default)
    return found


def _value(node: ast.expr) -> object:
    if isinstance(node, ast.BinOp):  # 30 * 86_400
        left, right = ast.literal_eval(node.left), ast.literal_eval(node.right)
        assert isinstance(node.op, ast.Mult)
        return left * right
    return ast.literal_eval(node) if not isinstance(node, ast.Name) else node.id


def written(default: object) -> str:
    """A default as the table writes it."""
    if default == "DEFAULT_SECRET":
        return "a known one"
    if default is None or default in ("", [], {}):
        return "–"
    if isinstance(default, dict):
        default = [f"{name}={value}" for name, value in default.items()]
    return f"`{','.join(str(one) for one in default) if isinstance(default, list) else default}`"


def test_the_table_of_settings_is_that_of_the_code() -> None:
    table = {name: default for name, default, _ in ROW.findall(OPERATIONS.read_text(encoding="utf-8"))}
    assert table == {name: written(default) for name, default in settings_of_the_code().items()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_document_names_a_setting_that_is_not_there(document: Path) -> None:
    named = set(SETTING.findall(OF_TESTS.sub("", document.read_text(encoding="utf-8"))))
    assert named <= set(settings_of_the_code())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    for path, anchor in LINK.findall(document.read_text(encoding="utf-8")):
        target = (document.parent / path) if path else document
        assert target.exists(), f"{path} is not there"
        if anchor:
            assert anchor in _anchors(target), f"{target.name} has no heading for #{anchor}"


def _anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_row_of_a_settings_table_is_there_twice() -> None:
    names = [name for name, _, _ in ROW.findall(OPERATIONS.read_text(encoding="utf-8"))]
    assert len(names) == len(set(names))
