"""Sheets as CSV (RFC 4180, UTF-8 with a byte order mark, for Excel) and as XLSX by XlsxWriter."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime

from xlsxwriter import Workbook

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a program would run (OWASP, CSV injection)."""


class SheetWriter:
    """CSV has no types, so what would be taken for a formula gets an apostrophe before it. XLSX has: a text is one."""

    def write(self, form: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
        told = [headings, *([_plain(cell) for cell in row] for row in rows)]
        return _csv(told) if form == "csv" else _xlsx(told)


def _plain(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(cell)


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row])
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def _xlsx(rows: Sequence[Sequence[str]]) -> bytes:
    raw = io.BytesIO()
    options = {"in_memory": True, "constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with Workbook(raw, options) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                sheet.write_string(number, column, cell)
    return raw.getvalue()
