"""Ways to an anchor: all that matter are found, the shortest first, and nobody can make us walk for long."""

from __future__ import annotations

import time
from itertools import permutations

import pytest
from asn1crypto.x509 import Certificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from mta.adapters.judge.chains import Issuers, chains
from mta.adapters.judge.fetch import Fetcher, FetchSettings
from mta.adapters.judge.path import JudgeSettings, PathJudge
from mta.adapters.pki import Authority
from mta.model.tls import PathFault
from tests.support.fake_resolver import FakeResolver
from tests.support.patience import cpu
from tests.support.people import EPOCH, Person, der, key
from tests.support.pki import authority

ANCHOR = authority("Anchor of chains")


def cross(subject: str, issuer: str) -> bytes:
    """A CA of this name, signed by one of that name; all of them have one key, so that every signature is good."""
    one = key("ec-p256")
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    builder = x509.CertificateBuilder(names[1], names[0], one.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(Person().begins).not_valid_after(Person().ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(one, hashes.SHA256()).public_bytes(Encoding.DER)  # type: ignore[arg-type]


def loaded(*ders: bytes) -> list[Certificate]:
    return [Certificate.load(one) for one in ders]


def walked(leaf: bytes, others: list[bytes], anchors: list[bytes]) -> list[list[bytes]]:
    found = chains(*loaded(leaf), Issuers(loaded(*others)), Issuers(loaded(*anchors)))
    return [[*(one.dump() for one in between), anchor.dump()] for between, anchor in found]


def test_the_shortest_way_comes_first() -> None:
    middle = ANCHOR.intermediate("Middle")
    low = middle.intermediate("Low")
    leaf = der(issuer=low)
    assert walked(leaf, [low.der, middle.der], [ANCHOR.der]) == [[low.der, middle.der, ANCHOR.der]]
    assert walked(leaf, [middle.der, low.der], [ANCHOR.der, low.der]) == [[low.der], [low.der, middle.der, ANCHOR.der]]
    assert walked(leaf, [low.der], [ANCHOR.der]) == []
    assert walked(leaf, [low.der, low.der, middle.der, der()], [ANCHOR.der]) == [[low.der, middle.der, ANCHOR.der]]


def test_of_two_with_one_name_the_key_identifier_tells() -> None:
    first, second = Authority("Twin", key=key("ec-p384")), Authority("Twin", key=key("ec-brainpool256"))
    assert walked(der(issuer=first), [], [first.der, second.der]) == [[first.der], [second.der]]  # it names none
    issued = first.issue(emails=["bob@fabrikam.example"]).der
    assert walked(issued, [], [second.der, first.der]) == [[first.der]]


@pytest.mark.parametrize("connected", [False, True])
async def test_what_strangers_have_crosswise_signed_is_not_walked_for_long(connected: bool) -> None:
    maze = [cross(*pair) for pair in permutations([f"N{number}" for number in range(7)], 2)]
    issuer = Authority("N0", key=key("ec-p256"))
    anchors = (Authority("N6", key=key("ec-p256")).der if connected else ANCHOR.der,)
    judge = PathJudge(JudgeSettings(anchors, (), "off"), Fetcher(FetchSettings((), False), FakeResolver))
    before = time.process_time()
    verdict = await judge.judge(der(issuer=issuer), maze, "sign", EPOCH)
    assert time.process_time() - before < cpu(2)
    assert verdict.fault == (PathFault.NONE if connected else PathFault.UNTRUSTED)
