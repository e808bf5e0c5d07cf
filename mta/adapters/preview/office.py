"""Word and Excel files as HTML, which is cleaned where it is shown. Only read; macros and links mean nothing here."""

from __future__ import annotations

import encodings.cp437  # zipfile wants it later
import encodings.idna  # noqa: F401
import html
import io
import zipfile
from itertools import islice

import mammoth
import openpyxl

_MOST_FILES, _MOST_OCTETS, _MOST_RATIO = 2000, 60_000_000, 200  # of what the archive unpacks to
_MOST_HTML = 4_000_000
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_ROWS, _COLUMNS, _SHEETS = 500, 50, 20


def prepare() -> None:
    """Read a file of each kind, so that everything is loaded."""
    book, sheet, word = openpyxl.Workbook(), io.BytesIO(), io.BytesIO()
    book.save(sheet)
    render(sheet.getvalue(), "xlsx", 1, "")
    with zipfile.ZipFile(word, "w") as archive:
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{_WORD}"><w:body/></w:document>')
    render(word.getvalue(), "docx", 1, "")


def render(data: bytes, kind: str, page: int, watermark: str) -> tuple[str, bytes, int]:
    """The document, or one sheet of a book. Raises whatever the readers do, and ValueError for a bomb."""
    _weigh(data)
    text, pages = _word(data, page) if kind == "docx" else _sheet(data, page)
    return "text/html", text[:_MOST_HTML].encode("utf-8", "replace"), pages


def _weigh(data: bytes) -> None:
    """Whether the archive is a bomb, by what its directory says; the limit of memory holds for one that lies."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = archive.infolist()
    size = sum(one.file_size for one in files)
    if len(files) > _MOST_FILES or size > _MOST_OCTETS or size > _MOST_RATIO * max(len(data), 4096):
        raise ValueError("it unpacks to more than is shown")


def _word(data: bytes, page: int) -> tuple[str, int]:
    if page != 1:
        raise IndexError("there is no such page")
    return mammoth.convert_to_html(io.BytesIO(data)).value, 1


def _sheet(data: bytes, page: int) -> tuple[str, int]:
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    sheets = book.worksheets[:_SHEETS]
    if not 1 <= page <= len(sheets):
        raise IndexError("there is no such sheet")
    sheet = sheets[page - 1]
    widest = min(sheet.max_column or _COLUMNS, _COLUMNS)
    rows = islice(sheet.iter_rows(max_col=widest, values_only=True), _ROWS)
    cells = ("".join(f"<td>{_cell(value)}</td>" for value in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f'<h2>{html.escape(sheet.title)}</h2><table border="1" cellpadding="4">{body}</table>', len(sheets)


def _cell(value: object) -> str:
    return "" if value is None else html.escape(str(value)[:2000])
