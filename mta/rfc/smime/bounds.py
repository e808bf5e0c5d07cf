"""What is true of BER before anybody interprets it: it ends, it nests little, it has few parts, its lengths agree.

The parsers behind (asn1crypto, Python code that recurses) are given nothing that was not proven here first: 20 kB of
nested sequences are enough to exhaust Python's stack. The walk has no recursion and touches each header once. What
lies inside of primitive octet strings (extensions of certificates, say) is not walked.
"""

from __future__ import annotations

from mta.errors import SmimeError

MAX_DEPTH = 64
MAX_NODES = 100_000
_OPEN = -1  # in place of an end that only an end-of-contents mark will tell (X.690 §8.1.3.6)


def prove(data: bytes | memoryview) -> dict[int, int]:
    """Walks the one element that fills `data`. Raises SmimeError where it is not proper BER or beyond the bounds.

    Returns, for each element of indefinite length, where it starts and where its content ends.
    """
    ends: dict[int, int] = {}
    stack: list[tuple[int, int, int]] = []  # of each constructed element: start, end or _OPEN, the limit around it
    size = len(data)
    position, limit, nodes = 0, size, 0
    while True:
        while stack and stack[-1][1] == position:
            limit = stack.pop()[2]
        if nodes and not stack:
            break
        if stack and stack[-1][1] == _OPEN and data[position : position + 2] == b"\0\0":
            start, _, limit = stack.pop()
            ends[start] = position
            position += 2
            continue
        nodes += 1
        if nodes > MAX_NODES:
            raise SmimeError(f"more than {MAX_NODES} parts")
        constructed, content, end = header(data, position, limit)
        if not constructed:
            position = end
            continue
        if len(stack) >= MAX_DEPTH:
            raise SmimeError(f"nested more than {MAX_DEPTH} deep")
        stack.append((position, end, limit))
        limit = limit if end == _OPEN else end
        position = content
    if position != size:
        raise SmimeError("there is something behind its end")
    return ends


def header(data: bytes | memoryview, position: int, limit: int) -> tuple[bool, int, int]:
    """The element at `position`: whether it is constructed, where its content starts, where that ends (or _OPEN)."""
    if position + 2 > limit:
        raise SmimeError("cut off")
    first = data[position]
    position += 1
    if first & 0x1F == 0x1F:  # a tag number above 30 goes on in further octets
        for _ in range(4):
            position += 1
            if position >= limit:
                raise SmimeError("cut off")
            if not data[position - 1] & 0x80:
                break
        else:
            raise SmimeError("a tag number beyond all measure")
    elif first == 0:
        raise SmimeError("an end-of-contents mark where nothing is open")
    length, position = data[position], position + 1
    if length == 0x80:
        if not first & 0x20:
            raise SmimeError("a primitive value of indefinite length")
        return True, position, _OPEN
    if length & 0x80:
        octets = length & 0x7F
        if octets > 8 or position + octets > limit:
            raise SmimeError("a length beyond all measure")
        length = int.from_bytes(data[position : position + octets], "big")
        position += octets
    if position + length > limit:
        raise SmimeError("cut off: a part is longer than what it lies in")
    return bool(first & 0x20), position, position + length
