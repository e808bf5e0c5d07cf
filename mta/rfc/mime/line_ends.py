"""Line ends and NUL that are not as they must be: what one program takes for a line, another does not."""

from __future__ import annotations

from collections.abc import Iterable


def line_ends(content: bytes, binary: Iterable[bytes]) -> tuple[str, ...]:
    """NUL, and CR or LF alone, anywhere but in the bodies of `binary` parts (RFC 2045 §2.9)."""
    rest = content.replace(b"\r\n", b"")  # to look for them in what is left is far quicker than to count them
    if b"\r" not in rest and b"\n" not in rest and b"\0" not in rest:
        return ()
    signs = _odd_signs(content)
    within = [_odd_signs(body) for body in binary]
    words = zip(("bare-cr", "bare-lf", "nul"), signs, *within, strict=True)
    return tuple(word for word, count, *allowed in words if count > sum(allowed))


def _odd_signs(content: bytes) -> tuple[int, int, int]:
    """How many CR without LF, LF without CR and NUL there are."""
    pairs = content.count(b"\r\n")
    nul = content.count(b"\0") if b"\0" in content else 0
    return content.count(b"\r") - pairs, content.count(b"\n") - pairs, nul
