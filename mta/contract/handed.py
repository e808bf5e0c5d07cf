"""A configuration on its way to another process of the relay: judged once, and nothing of it is read again.

It travels pickled, by standard input. Both ends must mean the same by it: where the program on the disk was exchanged
while the supervisor ran, a process started later would fill fields with what others hold. So the fields of every class
travel with it, and whoever has other ones refuses to begin.
"""

from __future__ import annotations

import base64
import io
import pickle
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass

from mta.contract.configuration import Configuration
from mta.errors import UsageError

Shapes = tuple[tuple[str, str, tuple[str, ...]], ...]  # module, class, its fields in order


@dataclass(frozen=True, slots=True)
class Handed:
    """`packed` is the configuration as `pack` makes it; `text` the file it was made of, for commands that ask."""

    packed: str
    text: str

    @classmethod
    def of(cls, configuration: Configuration, text: str) -> Handed:
        """This configuration, made of `text`."""
        return cls(pack(configuration), text)

    @classmethod
    def read(cls, document: Mapping[str, str]) -> Handed:
        """What `document` gave."""
        return cls(document["packed"], document["text"])

    def document(self) -> dict[str, str]:
        """For a line of JSON."""
        return {"packed": self.packed, "text": self.text}


def pack(configuration: Configuration) -> str:
    """The configuration in ASCII, for another process of this machine."""
    octets = io.BytesIO()
    pickler = pickle.Pickler(octets, pickle.HIGHEST_PROTOCOL)
    pickler.dump(configuration)
    met = [met for _, met in pickler.memo.copy().values()]  # the memo holds every class that was written
    return base64.b64encode(pickle.dumps((_shapes(met), octets.getvalue()))).decode()


def unpack(packed: str) -> Configuration:
    """What `pack` was given. Only for what our own supervisor wrote.

    Raises UsageError where it was packed by another version of the program.
    """
    try:
        shapes, octets = pickle.loads(base64.b64decode(packed))  # noqa: S301 - our own supervisor's
        configuration: Configuration = pickle.loads(octets)  # noqa: S301 - the same
    except (AttributeError, ImportError, TypeError, pickle.UnpicklingError) as error:
        raise _exchanged() from error
    if any(_fields(module, name) != known for module, name, known in shapes):
        raise _exchanged()
    return configuration


def _shapes(met: Iterable[object]) -> Shapes:
    classes = {one for one in met if isinstance(one, type) and is_dataclass(one)}
    known = ((one.__module__, one.__qualname__) for one in classes)
    return tuple((module, name, _fields(module, name)) for module, name in sorted(known))


def _fields(module: str, name: str) -> tuple[str, ...]:
    found = getattr(sys.modules.get(module), name, None)
    return tuple(field.name for field in fields(found)) if found is not None and is_dataclass(found) else ()


def _exchanged() -> UsageError:
    return UsageError("the program on the disk is another version than the relay that runs: restart the relay")
