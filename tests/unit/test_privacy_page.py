"""docs/privacy.md says of each table what the registry says."""

from __future__ import annotations

from pathlib import Path

import edurise.models  # noqa: F401 - what is personal is declared once it is imported
from edurise.personal import in_order
from edurise.privacy import exports

PAGE = Path(__file__).resolve().parents[2] / "docs" / "privacy.md"


def test_the_table_of_fates_is_the_registry() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    begin = lines.index("| table | fate | exported | because |") + 2
    told = []
    for line in lines[begin:]:
        if not line.startswith("|"):
            break
        told.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
    expected = [
        (f"`{one.table}`", one.fate.value, "yes" if one.export else "no", one.because or "–") for one in in_order()
    ]
    assert sorted(told) == sorted(expected)


def test_the_bound_of_an_export_is_told() -> None:
    assert f"{exports.MOST:,} rows" in PAGE.read_text(encoding="utf-8")
