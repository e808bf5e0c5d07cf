"""Files are shown by a process that can do nothing else; what is hostile shows nothing, soon and without harm."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import openpyxl
import pypdfium2
import pytest
from PIL import Image

from mta.adapters.preview.processes import PreviewProcesses
from mta.rfc.mime.file_kind import file_kind

DOCX = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    'wordprocessingml.document.main+xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
    'Target="word/document.xml"/></Relationships>',
    "word/document.xml": '{head}<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
    "<w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>",
}
XXE = '<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
LAUGHS = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))


def picture(size: tuple[int, int] = (300, 200), colour: str = "white", form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, form)
    return out.getvalue()


def pdf(*sizes: tuple[float, float]) -> bytes:
    document, out = pypdfium2.PdfDocument.new(), io.BytesIO()
    for size in sizes:
        document.new_page(*size)
    document.save(out)
    return out.getvalue()


def docx(text: str = "The plan", head: str = "", more: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in DOCX.items():
            archive.writestr(name, content.replace("{text}", text).replace("{head}", head))
        archive.writestr("more", more)
    return out.getvalue()


def xlsx() -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["<b>Sum</b>", 42])
    book.create_sheet("Two").append(["x"])
    book.save(out)
    return out.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def vast() -> bytes:
    """A PNG of 60,000 by 60,000 pixels in a few octets."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + _chunk(b"IEND", b"")


async def test_pictures_are_written_anew_and_marked():
    previews = PreviewProcesses()
    plain = await previews.look(picture((3000, 200), form="JPEG"), "picture", 1)
    marked = await previews.look(picture(), "picture", 1, "bob@fabrikam.example 2026")
    assert plain is not None
    assert marked is not None
    with Image.open(io.BytesIO(plain.data)) as shown:
        assert (shown.format, shown.size) == ("PNG", (1400, 93))
    with Image.open(io.BytesIO(marked.data)) as shown:
        assert len(shown.getcolors() or ()) > 5  # there is ink on what was white


async def test_a_page_of_a_pdf():
    look = await PreviewProcesses().look(pdf((600, 800), (100, 100)), "pdf", 2, "bob")
    assert look is not None
    assert look.pages == 2
    with Image.open(io.BytesIO(look.data)) as shown:
        assert shown.size == (300, 300)


async def test_office_files_as_html():
    previews = PreviewProcesses()
    word, sheet = await previews.look(docx("A &lt; B"), "docx", 1), await previews.look(xlsx(), "xlsx", 1)
    assert word is not None
    assert b"<p>A &lt; B</p>" in word.data
    assert sheet is not None
    assert sheet.pages == 2
    assert b"<td>&lt;b&gt;Sum&lt;/b&gt;</td><td>42</td>" in sheet.data


@pytest.mark.parametrize(
    ("kind", "data", "page"),
    [
        ("picture", vast(), 1),
        ("picture", b"\x89PNG\r\n\x1a\nnothing", 1),
        ("picture", picture(), 2),
        ("pdf", b"%PDF-1.7\nnothing", 1),
        ("pdf", pdf((100, 100)), 2),
        ("pdf", pdf((14_000, 0.5)), 1),
        ("docx", docx("&e;", XXE), 1),
        ("docx", docx("&e9;", f'<!DOCTYPE d [<!ENTITY e0 "laugh">{LAUGHS}]>'), 1),
        ("docx", docx(more=b"\0" * 100_000_000), 1),
        ("docx", b"PK\x03\x04nothing", 1),
        ("xlsx", docx(), 1),
    ],
    ids=[
        *("vast-picture", "no-picture", "no-second-picture", "no-pdf", "no-second-page", "thread"),
        *("xxe", "laughs", "bomb", "no-archive", "no-sheet"),
    ],
)
async def test_what_is_hostile_or_broken_shows_nothing_of_ours(kind: str, data: bytes, page: int):
    look = await PreviewProcesses().look(data, kind, page)
    assert look is None or b"root:" not in look.data
    assert look is None or kind == "docx"  # an entity that is left out leaves an empty paragraph


async def test_what_takes_too_long_is_killed():
    assert await PreviewProcesses(seconds=0.001).look(picture(), "picture", 1) is None


@pytest.mark.parametrize(
    ("media_type", "name", "data", "kind"),
    [
        ("application/octet-stream", "x", b"%PDF-1.4", "pdf"),
        ("image/png", "x.png", b"<script>", ""),
        ("text/plain", "x", b"hello", "text"),
        ("text/html", "x.html", b"<b>", ""),
        ("text/plain", "x", b"a\0b", ""),
        ("image/svg+xml", "x.svg", b"<svg/>", ""),
        ("application/zip", "x.DOCX", b"PK\x03\x04", "docx"),
        ("application/zip", "x.zip", b"PK\x03\x04", ""),
    ],
)
def test_a_kind_is_seen_by_the_first_octets(media_type: str, name: str, data: bytes, kind: str):
    assert file_kind(media_type, name, data) == kind
