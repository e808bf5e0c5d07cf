"""PDF: one page as a picture, by PDFium. Scripts, forms and links of the file are not run."""

from __future__ import annotations

import pypdfium2

from mta.adapters.preview import picture

_WIDEST, _HIGHEST = 1000, 1500  # pixels
_CLEAREST = 3.0  # pixels for a point (1/72 inch)


def prepare() -> None:
    """Load the library and what draws the watermark."""
    picture.prepare()
    document = pypdfium2.PdfDocument.new()
    document.new_page(10, 10).render(scale=1).to_pil()
    document.close()


def render(data: bytes, kind: str, page: int, watermark: str) -> tuple[str, bytes, int]:
    """The page. Raises PdfiumError, and IndexError where there is none."""
    document = pypdfium2.PdfDocument(data)
    pages = len(document)
    if not 1 <= page <= pages:
        raise IndexError("there is no such page")
    sheet = document[page - 1]
    width, height = sheet.get_size()
    if not (width > 0 and height > 0):
        raise ValueError("a page without a size")
    scale = min(_WIDEST / width, _HIGHEST / height, _CLEAREST)
    if width * scale < 1 or height * scale < 1:
        raise ValueError("a page like a thread")
    return "image/png", picture.write(sheet.render(scale=scale).to_pil().convert("RGB"), watermark), pages
