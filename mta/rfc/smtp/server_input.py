"""The octets a client has sent and nobody has looked at yet, taken as lines, as pieces, or whole."""

from __future__ import annotations


class LineTooLong(Exception):
    """A line was longer than allowed; it has been read and forgotten. `bare`: it did not end in CRLF."""

    def __init__(self, *, bare: bool) -> None:
        super().__init__()
        self.bare = bare


class ServerInput:
    """A buffer, of `octets`. What has come in one piece and was not touched yet is not copied."""

    __slots__ = ("_searched", "_skipping", "octets")

    def __init__(self) -> None:
        self.octets: bytes | bytearray = b""
        self._searched = 0  # octets that hold no line end
        self._skipping = False  # within a line that is too long

    def add(self, data: bytes) -> int:
        """Octets from the client; how many there are now."""
        if self.octets:
            self._changeable().extend(data)
        else:
            self.octets = data
        return len(self.octets)

    def line(self, limit: int) -> bytes | None:
        """The next line with its end, of at most `limit` octets; None while it is not whole. Raises LineTooLong."""
        if self._skipping:
            self._skip()
            return None
        found = self.octets.find(b"\n", self._searched, limit)
        if found >= 0:
            return self.take(found + 1)
        if len(self.octets) >= limit:
            self._skipping = True
            self._skip()
            return None
        self._searched = len(self.octets)
        return None

    def _skip(self) -> None:
        """Forget what there is of a line that is too long; LineTooLong once it has ended."""
        found = self.octets.find(b"\n")
        if found < 0:
            self.octets = self.octets[-1:]  # the last octet may be the CR of the line's end
            return
        self._skipping = False
        raise LineTooLong(bare=not self.take(found + 1).endswith(b"\r\n"))

    def peek(self, count: int) -> bytes:
        """Up to `count` octets, left where they are."""
        return bytes(self.octets[:count])

    def take(self, count: int) -> bytes:
        """`count` octets, which must be there."""
        self._searched = 0
        if count == len(self.octets):
            data, self.octets = bytes(self.octets), b""
            return data
        buffer = self._changeable()
        data = bytes(memoryview(buffer)[:count])
        del buffer[:count]
        return data

    def take_all(self) -> bytes:
        """Everything."""
        return self.take(len(self.octets))

    def put_back(self, data: bytes) -> None:
        """What was taken and belongs to the next command."""
        self.octets = data + self.octets

    def _changeable(self) -> bytearray:
        """The buffer, as one that grows and shrinks at either end for little."""
        if isinstance(self.octets, bytearray):
            return self.octets
        self.octets = changeable = bytearray(self.octets)
        return changeable
