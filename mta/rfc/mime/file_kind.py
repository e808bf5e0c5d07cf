"""What kind of file something is, by its first octets and only then by what is said of it."""

from __future__ import annotations

PDF, PICTURE, DOCX, XLSX, TEXT = "pdf", "picture", "docx", "xlsx", "text"
MOST_TEXT = 512 * 1024  # octets of a text that is shown

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_TEXTS = (".txt", ".csv", ".log", ".md")


def picture_type(data: bytes) -> str:
    """The type of a picture that every browser shows and none runs, by its first octets; empty for all else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), "")


def file_kind(media_type: str, name: str, data: bytes) -> str:
    """PDF, PICTURE, DOCX, XLSX or TEXT; empty for what is not shown."""
    name = name.lower()
    if picture_type(data):
        return PICTURE
    if b"%PDF-" in data[:1024]:
        return PDF
    if data[:4] == b"PK\x03\x04":
        return _office(media_type, name)
    is_text = media_type in ("text/plain", "text/csv") or name.endswith(_TEXTS)
    return TEXT if is_text and len(data) <= MOST_TEXT and b"\0" not in data else ""


def _office(media_type: str, name: str) -> str:
    if name.endswith(".docx") or "wordprocessingml.document" in media_type:
        return DOCX
    return XLSX if name.endswith(".xlsx") or "spreadsheetml.sheet" in media_type else ""
