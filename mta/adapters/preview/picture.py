"""Pictures: decoded, made small enough for a page, marked, and written anew; nothing of the file itself goes out."""

from __future__ import annotations

import io
import math

from PIL import Image, ImageDraw, ImageFont

_MOST_PIXELS = 40_000_000  # of the file
_WIDEST, _HIGHEST = 1400, 1800  # pixels of what is shown
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_INK = (110, 110, 110, 110)  # with how much of it covers
_FONT: list[ImageFont.FreeTypeFont | ImageFont.ImageFont] = []


def prepare() -> None:
    """Load decoders and the font."""
    Image.preinit()
    Image.init()
    Image.MAX_IMAGE_PIXELS = _MOST_PIXELS // 2  # from twice that on Pillow refuses
    _FONT[:] = [ImageFont.load_default(28)]
    write(Image.new("RGB", (2, 2)), "x")


def render(data: bytes, kind: str, page: int, watermark: str) -> tuple[str, bytes, int]:
    """The picture, its first frame. Raises whatever the decoder does."""
    if page != 1:
        raise ValueError("a picture has one page")
    with Image.open(io.BytesIO(data), formats=_FORMATS) as file:
        if file.width * file.height > _MOST_PIXELS:
            raise ValueError("too many pixels")
        file.draft("RGB", (_WIDEST, _HIGHEST))
        picture = file.convert("RGBA")
    picture.thumbnail((_WIDEST, _HIGHEST))
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    return "image/png", write(ground.convert("RGB"), watermark), 1


def write(picture: Image.Image, watermark: str) -> bytes:
    """As PNG, with the watermark all over it where there is one."""
    if watermark:
        marked = picture.convert("RGBA")
        marked.alpha_composite(_marks(picture.size, watermark[:200]))
        picture = marked.convert("RGB")
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def _marks(size: tuple[int, int], text: str) -> Image.Image:
    """The text again and again across a layer, from the lower left to the upper right."""
    side = math.ceil(math.hypot(*size))
    layer = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(layer)
    width = max(1, round(draw.textlength(text, font=_FONT[0])))
    for row, y in enumerate(range(0, side, 140)):
        for x in range(-(row % 2) * width // 2, side, width + 80):
            draw.text((x, y), text, font=_FONT[0], fill=_INK)
    turned = layer.rotate(30)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    return turned.crop((left, top, left + size[0], top + size[1]))
