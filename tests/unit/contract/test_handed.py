"""A configuration is handed to another process as it was judged, and only to the same version of the program."""

from __future__ import annotations

import pickle
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path

import pytest

from mta.contract import server
from mta.contract.handed import Handed, pack, unpack
from mta.errors import UsageError
from tests.unit.config.support import built

TEXT = """
server: {hostname: mx.contoso.example}
connectors:
  fabrikam: {domains: [fabrikam.example], inbound: {networks: [192.0.2.0/24]}, outbound: {smime: {encrypt: required}}}
"""


def test_what_is_handed_on_is_what_was_judged(tmp_path: Path) -> None:
    configuration = built(TEXT, tmp_path)
    handed = Handed.of(configuration, TEXT)
    again = Handed.read(handed.document())
    assert (unpack(again.packed), again.text) == (configuration, TEXT)


def _later(**fields: type) -> type:
    """Another version of a class of the contract."""
    made = dataclass(frozen=True, slots=True)(type("StsFetching", (), {"__annotations__": fields}))
    made.__module__ = server.__name__
    return made


LATER = {
    "a field more": _later(ca=object, port=int, strict=bool),
    "a field less": _later(port=int),
    "in another order": _later(port=int, ca=object),
    "no class": None,
    "gone": "gone",
}


@pytest.mark.parametrize("later", LATER)
def test_another_version_of_the_program_takes_nothing(
    later: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pack(built(TEXT, tmp_path))
    if LATER[later] == "gone":
        monkeypatch.delattr(server, "StsFetching")
    else:
        monkeypatch.setattr(server, "StsFetching", LATER[later])
    with pytest.raises(UsageError, match="restart the relay"):
        unpack(packed)


def test_a_class_of_another_floor_counts_too(tmp_path: Path) -> None:
    shapes, _ = pickle.loads(b64decode(pack(built(TEXT, tmp_path))))
    assert {"Configuration", "Connector", "OutboundTls", "Smime"} <= {name for _, name, _ in shapes}
    assert ("mta.model.tls", "Revocation", ("mode", "lists")) in shapes
