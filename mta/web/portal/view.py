"""A message as the page shows it: pure, of what was read and what the reader may do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from mta.contract.protection import Label
from mta.model.rights import Right
from mta.rfc.mime.file_kind import file_kind, picture_type
from mta.rfc.mime.shown import ShownFile, show
from mta.vault.attachments import attachment_id
from mta.vault.read import Read, Standing
from mta.vault.sessions import Proven
from mta.web.portal.clean import clean
from mta.web.portal.words import Words

_FIELDS = ("from", "to", "cc", "date")
_LONGEST = 2000  # characters of a field that is shown


@dataclass(frozen=True, slots=True)
class FileView:
    """A file in the list. `preview`: a look at it can be had; `sealed`: it is an item of its own."""

    number: int
    name: str
    media_type: str
    size: str
    preview: bool = False
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """All that the page of a message says. Texts are the sender's words: the template escapes them."""

    id: str
    reader: str
    subject: str
    fields: tuple[tuple[str, str], ...]
    others: tuple[str, ...]
    until: float
    label: str
    text: str = field(repr=False)
    readable: bool
    has_html: bool
    framed: bool
    blocked: int
    files: tuple[FileView, ...]
    may_export: bool
    may_print: bool
    may_reply: bool
    may_forward: bool
    header: str = ""
    footer: str = ""
    watermark: str = ""

    def as_text(self) -> View:
        """The same without the frame."""
        return replace(self, framed=False, blocked=0)

    def with_items(self, ids: Collection[str]) -> View:
        """The same, with the attachments among its files that are items of their own."""
        marked = (replace(one, sealed=attachment_id(self.id, one.number) in ids) for one in self.files)
        return replace(self, files=tuple(marked))


def view_of(who: Proven, standing: Standing, read: Read, label: Label | None, t: Words) -> View:
    """The view of a message."""
    shown, item = show(read.data), standing.item
    has_html = bool(shown.html.strip())
    marks = marks_of(who, standing, label, t)
    return View(
        id=item.id,
        reader=who.reader,
        subject=shown.fields.get("subject", "")[:_LONGEST],
        fields=tuple((name, shown.fields[name][:_LONGEST]) for name in _FIELDS if shown.fields.get(name)),
        others=standing.others,
        until=standing.until,
        label=label_name(label, t),
        text=shown.text or (clean_text(shown.html) if has_html else ""),
        readable=shown.readable,
        has_html=has_html,
        framed=has_html,
        blocked=clean(shown.html, shown.files).blocked if has_html else 0,
        files=tuple(_file(number, one) for number, one in enumerate(shown.files) if not _is_shown(one, shown.html)),
        may_export=Right.EXPORT in read.rights,
        may_print=Right.PRINT in read.rights,
        may_reply=Right.REPLY in read.rights,
        may_forward=Right.FORWARD in read.rights,
        header=marks("header"),
        footer=marks("footer"),
        watermark=marks("watermark"),
    )


class _Marks:
    def __init__(self, label: Label | None, values: dict[str, str]) -> None:
        self._label, self._values = label, values

    def __call__(self, which: str) -> str:
        """One of the label's texts, filled in."""
        text: str = getattr(self._label.marking, which) if self._label else ""
        for name, value in self._values.items():
            text = text.replace(f"{{{name}}}", value)
        return text


def marks_of(who: Proven, standing: Standing, label: Label | None, t: Words) -> _Marks:
    """The label's markings, for this reader."""
    item = standing.item
    values = {"owner": item.owner, "reader": who.reader, "date": t.moment(item.created), "label": label_name(label, t)}
    return _Marks(label, values)


def label_name(label: Label | None, t: Words) -> str:
    """What people call a label."""
    if label is None:
        return ""
    return label.names.get(t.language) or label.names.get("en") or label.id


def clean_text(html: str) -> str:
    """The words of an HTML that came without a text beside it."""
    import html as entities

    import nh3

    with_breaks = html
    for tag in ("<br", "</p", "</div", "</tr", "</li", "</h1", "</h2", "</h3"):
        with_breaks = with_breaks.replace(tag, f"\n{tag}")
    bare = nh3.clean(with_breaks, tags=set(), clean_content_tags={"script", "style", "head", "title"})
    lines = (" ".join(line.split()) for line in entities.unescape(bare).splitlines())
    return "\n".join(line for line in lines if line)


def _is_shown(file: ShownFile, html: str) -> bool:
    return file.is_in(html) and bool(picture_type(file.data))


def _file(number: int, file: ShownFile) -> FileView:
    name = "".join(c if c.isprintable() else "?" for c in file.name)[:200]
    preview = bool(file_kind(file.media_type, file.name, file.data))
    return FileView(number, name, file.media_type, _octets(len(file.data)), preview)


def _octets(size: int) -> str:
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.0f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"
