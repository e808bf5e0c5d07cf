"""The HTML of a message, made harmless: nothing in it runs, nothing is loaded, its pictures come out of it itself.

What nh3 leaves is shown in a frame without scripts, forms and an origin of its own; either of the two would do alone.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

import nh3

from mta.rfc.mime.file_kind import picture_type
from mta.rfc.mime.shown import ShownFile

MOST_PICTURES = 8 * 1024 * 1024  # octets of pictures in one page

_TAGS = frozenset(
    re.findall(
        r"\w+",
        "a abbr address b bdi bdo big blockquote br caption center cite code col colgroup dd del dfn div dl dt em"
        " font h1 h2 h3 h4 h5 h6 hr i img ins kbd li ol p pre q s samp small span strike strong sub sup table tbody td"
        " tfoot th thead time tr tt u ul var",
    )
)
_EVERYWHERE = frozenset({"align", "bgcolor", "color", "dir", "height", "lang", "style", "title", "valign", "width"})
_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "*": _EVERYWHERE,
    "a": frozenset({"href"}),
    "font": frozenset({"face", "size"}),
    "img": frozenset({"src", "alt"}),
    "ol": frozenset({"start", "type"}),
    "table": frozenset({"border", "cellpadding", "cellspacing"}),
    "td": frozenset({"colspan", "rowspan"}),
    "th": frozenset({"colspan", "rowspan", "scope"}),
}
_STYLE = frozenset(
    re.findall(
        r"[a-z-]+",
        "background-color border border-bottom border-collapse border-color border-left border-radius border-right"
        " border-spacing border-style border-top border-width color display font-family font-size font-style"
        " font-variant font-weight height letter-spacing line-height list-style-type margin margin-bottom margin-left"
        " margin-right margin-top max-width min-width padding padding-bottom padding-left padding-right padding-top"
        " text-align text-decoration text-indent text-transform vertical-align white-space width word-break",
    )
)
_WITH_CONTENT = frozenset({"script", "style", "title", "head", "noscript", "template", "svg", "math", "object"})
_COLOUR = re.compile(r"\b(?:rgb|hsl)a?\([0-9a-z%.,/ -]*\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """HTML to show, and how many pictures were left out because they lie elsewhere."""

    html: str
    blocked: int = 0


def clean(html: str, files: tuple[ShownFile, ...] = ()) -> Cleaned:
    """The HTML with what is harmless in it, and the pictures that it names by `cid:` (RFC 2392) in their places."""
    pictures = _Pictures({one.content_id: one.data for one in files if one.content_id})
    safe = nh3.clean(
        html,
        tags=set(_TAGS),
        clean_content_tags=set(_WITH_CONTENT),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=pictures.attribute,
        url_schemes={"http", "https", "mailto", "cid"},
        url_relative="deny",
        strip_comments=True,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        filter_style_properties=set(_STYLE),
    )
    return Cleaned(safe, pictures.blocked)


@dataclass(slots=True)
class _Pictures:
    """Puts pictures of the message where it names them; all others are left out, and counted."""

    found: Mapping[str, bytes]
    blocked: int = 0
    size: int = 0
    made: dict[str, str | None] = field(default_factory=dict)

    def attribute(self, tag: str, name: str, value: str) -> str | None:
        """What becomes of an attribute; None: it goes."""
        if name == "style":
            plain = _COLOUR.sub("", value)
            return None if "(" in plain or "\\" in plain else value
        if name == "href":
            return None if value.strip().lower().startswith("cid:") else value
        if (tag, name) == ("img", "src"):
            picture = self._picture(value.strip())
            self.blocked += picture is None
            return picture
        return value

    def _picture(self, source: str) -> str | None:
        scheme, _, id = source.partition(":")
        if scheme.lower() != "cid":
            return None
        if id not in self.made:
            self.made[id] = self._data(self.found.get(unquote(id), b""))
        return self.made[id]

    def _data(self, data: bytes) -> str | None:
        kind = picture_type(data)
        if not kind or self.size + len(data) > MOST_PICTURES:
            return None
        self.size += len(data)
        return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
