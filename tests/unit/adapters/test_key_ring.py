"""Our own certificates for S/MIME: whose signs, which decrypt, and files that change."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from mta.adapters.key_ring import FileKeyRing, KeyPlaces
from mta.adapters.pki import Authority, Issued
from mta.errors import MtaError
from mta.rfc.pkix.person import person_facts
from mta.rfc.smtp.address import parse_mailbox
from tests.support.corpora import corpus

NOW = datetime.now(UTC).replace(microsecond=0)
ALICE, DOMAIN = "alice@contoso.example", "contoso.example"


@lru_cache(1)
def authority() -> Authority:
    return Authority("Contoso People", not_before=NOW - timedelta(days=900))


def issue(begins: float = -1, ends: float = 90, address: str = ALICE) -> Issued:
    days = {"not_before": NOW + timedelta(days=begins), "not_after": NOW + timedelta(days=ends)}
    return authority().issue(emails=[address], eku=["emailProtection"], **days)  # type: ignore[arg-type]


def pem(path: Path, issued: Issued) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(issued.chain_pem + issued.key_pem)


def pkcs12(path: Path, issued: Issued, password: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    protection = BestAvailableEncryption(password)
    path.write_bytes(serialize_key_and_certificates(None, issued.key, issued.certificate, None, protection))


def no_token(uri: str, public: Any = None) -> Any:
    raise MtaError(f"no token here: {uri}")


def ring(folder: Path, **places: Any) -> FileKeyRing:
    return FileKeyRing({DOMAIN: KeyPlaces(people=str(folder), **places)}, no_token)


def signs(keys: FileKeyRing, whose: str = "any", address: str = ALICE) -> bytes | None:
    found = keys.for_signing(DOMAIN, address, NOW.timestamp(), whose=whose)
    return found.certificate if found else None


def test_the_senders_own_signs_before_the_domains(tmp_path: Path) -> None:
    own, shared = issue(), issue(address="office@contoso.example")
    pem(tmp_path / f"{ALICE}.pem", own)
    pair = tuple(str(path) for path in shared.write(tmp_path, "office"))
    keys = ring(tmp_path, pair=pair)
    assert [signs(keys, whose) for whose in ("any", "sender", "domain")] == [own.der, own.der, shared.der]
    assert [signs(keys, whose, "bob@contoso.example") for whose in ("any", "sender")] == [shared.der, None]
    assert keys.for_signing("fabrikam.example", ALICE, NOW.timestamp(), whose="any") is None


def test_of_several_the_one_that_began_last_and_is_in_its_time(tmp_path: Path) -> None:
    old, now, early = issue(-300, 30), issue(-20, 300), issue(10, 400)
    for name, issued in (("2025.pem", old), ("2026.pem", now), ("2027.pem", early)):
        pem(tmp_path / ALICE / name, issued)
    keys = ring(tmp_path)
    assert signs(keys) == now.der
    assert [each.certificate for each in keys.for_decrypting(DOMAIN, ALICE)] == [early.der, now.der, old.der]


def test_one_that_is_over_is_said_to_be(tmp_path: Path) -> None:
    pem(tmp_path / f"{ALICE}.pem", issue(-300, -10))
    keys = ring(tmp_path)
    with pytest.raises(MtaError, match=r"alice@contoso.example.pem is not in its time"):
        signs(keys)
    assert len(keys.for_decrypting(DOMAIN, ALICE)) == 1


def test_the_address_is_compared_without_regard_to_case(tmp_path: Path) -> None:
    own = issue()
    pem(tmp_path / f"{ALICE}.pem", own)
    assert signs(ring(tmp_path), address="Alice@contoso.example") == own.der


@pytest.mark.parametrize("address", ["../alice@contoso.example", "a/b@contoso.example", ".@contoso.example", "\0@x"])
def test_an_address_never_leads_out_of_the_folder(tmp_path: Path, address: str) -> None:
    pem(tmp_path / f"{ALICE}.pem", issue())
    (tmp_path / "people").mkdir()
    assert signs(ring(tmp_path / "people"), address=address) is None


def test_pkcs12_opens_with_the_password(tmp_path: Path) -> None:
    own = issue()
    pkcs12(tmp_path / f"{ALICE}.p12", own, b"geheim")
    assert signs(ring(tmp_path, password="geheim")) == own.der
    with pytest.raises(MtaError, match="password_file"):
        signs(ring(tmp_path, password="wrong"))


def test_of_the_two_pairs_in_a_file_each_does_what_it_is_for(tmp_path: Path) -> None:
    """As the people of RFC 9216 have them: one certificate for signing, another for decrypting."""
    file = (corpus("smime-rfc9216") / "4.5-PKCS_12_Object_for_Alice.p12").read_bytes()
    (tmp_path / f"{ALICE}.p12").write_bytes(file)
    keys = ring(tmp_path, password="alice")
    signing = keys.for_signing(DOMAIN, ALICE, NOW.timestamp(), whose="sender")
    assert signing is not None
    assert person_facts(signing.certificate).key_usage == {"digitalSignature", "nonRepudiation"}
    usages = [person_facts(each.certificate).key_usage for each in keys.for_decrypting(DOMAIN, ALICE)]
    assert {"keyEncipherment"} in usages
    assert len(usages) == 2


def test_an_encrypted_pem_key_opens_with_the_password(tmp_path: Path) -> None:
    own = issue()
    secret = own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"geheim"))
    (tmp_path / f"{ALICE}.pem").write_bytes(own.chain_pem)
    (tmp_path / f"{ALICE}.key").write_bytes(secret)
    assert signs(ring(tmp_path, password="geheim")) == own.der
    with pytest.raises(MtaError, match="password_file"):
        signs(ring(tmp_path))


def test_former_keys_and_the_domains_decrypt_and_broken_files_are_passed_over(tmp_path: Path) -> None:
    own, former, shared = issue(), issue(-800, -400), issue(-10)
    pem(tmp_path / "people" / f"{ALICE}.pem", own)
    pem(tmp_path / "former" / "2023.pem", former)
    (tmp_path / "former" / "broken.p12").write_bytes(b"no")
    pair = tuple(str(path) for path in shared.write(tmp_path, "office"))
    keys = ring(tmp_path / "people", former=str(tmp_path / "former"), pair=pair)
    assert [each.certificate for each in keys.for_decrypting(DOMAIN, ALICE)] == [own.der, shared.der, former.der]
    assert keys.for_decrypting("fabrikam.example", ALICE) == ()


BOB = "bob@contoso.example"


@pytest.mark.parametrize(
    ("place", "opens"),
    [
        ("2023.pem", [BOB]),  # whom the certificate names
        (f"{ALICE}.pem", [ALICE, BOB]),
        (f"{ALICE}/2023.pem", [ALICE, BOB]),
        ("@contoso.example.pem", [ALICE, BOB, "carl@contoso.example"]),
        ("@contoso.example/2023.pem", [ALICE, BOB, "carl@contoso.example"]),
        ("@fabrikam.example.pem", [BOB]),
        ("other/2023.pem", []),
    ],
)
def test_a_former_key_opens_for_its_own_addresses_only(tmp_path: Path, place: str, opens: list[str]) -> None:
    former = issue(-800, -400, address=BOB)
    pem(tmp_path / "former" / place, former)
    keys = ring(tmp_path / "people", former=str(tmp_path / "former"))
    tried = (ALICE, BOB, "carl@contoso.example")
    assert [each for each in tried if keys.for_decrypting(DOMAIN, each)] == opens


def test_a_former_key_of_the_domain_itself_opens_for_all(tmp_path: Path) -> None:
    pem(tmp_path / "former" / "old.pem", issue(-800, -400, address=f"domain-confidentiality-authority@{DOMAIN}"))
    assert ring(tmp_path / "people", former=str(tmp_path / "former")).for_decrypting(DOMAIN, ALICE)


def test_a_key_of_a_like_looking_address_is_another_ones(tmp_path: Path) -> None:
    pem(tmp_path / "strasse@contoso.example.pem", issue(address="strasse@contoso.example"))
    assert not ring(tmp_path).for_decrypting(DOMAIN, parse_mailbox("straße@contoso.example").key)


def test_a_renewed_file_is_read_again(tmp_path: Path) -> None:
    first, second = issue(), issue()
    path = tmp_path / f"{ALICE}.pem"
    pem(path, first)
    keys = ring(tmp_path)
    assert signs(keys) == first.der
    pem(tmp_path / "next", second)
    os.replace(tmp_path / "next", path)
    assert signs(keys) == second.der


def test_a_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    (tmp_path / f"{ALICE}.pem").write_bytes(issue().chain_pem + issue().key_pem)
    with pytest.raises(MtaError, match="none of its certificates"):
        signs(ring(tmp_path))


def test_a_tokens_key_is_asked_for_by_its_uri(tmp_path: Path) -> None:
    shared = issue()
    chain, _ = shared.write(tmp_path, "office")
    uri = "pkcs11:token=mta;object=office"
    asked: list[object] = []

    def token(wanted: str, public: Any = None) -> Any:
        asked.append((wanted, public == shared.key.public_key()))  # so that the token need not be asked now
        return shared.key

    keys = FileKeyRing({DOMAIN: KeyPlaces(pair=(str(chain), uri))}, token)
    assert signs(keys) == shared.der
    assert signs(keys) == shared.der
    assert asked == [(uri, True)]
