"""What is read out of a certificate, and that odd ones are read too."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.pkix.certificate import certificate_facts, opaque_facts
from mta.rfc.pkix.der import public_key_info
from tests.support.pki import Authority, make_key, needs_openssl, self_signed

SAN, EKU = "2.5.29.17", "2.5.29.37"


def odd(*extensions: tuple[str, bytes], subject: str = "odd.example") -> bytes:
    """A certificate with these extensions, whatever their contents."""
    key, name = make_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7)
    builder = builder.not_valid_before(datetime(2026, 1, 1)).not_valid_after(datetime(2027, 1, 1))
    for oid, value in extensions:
        builder = builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier(oid), value), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_everything_is_read() -> None:
    issued = Authority("Fabrikam Root").issue(
        common_name="Mail",
        dns_names=["Mail.Fabrikam.Example", "*.fabrikam.example"],
        ips=["192.0.2.1", "2001:db8::1"],
        emails=["Post@fabrikam.example"],
        not_before=datetime(2026, 1, 2, tzinfo=UTC),
        not_after=datetime(2027, 1, 2, tzinfo=UTC),
        eku=["clientAuth"],
    )
    facts = certificate_facts(issued.der)
    assert facts.der == issued.der
    assert (facts.subject, facts.issuer) == ("CN=Mail", "CN=Fabrikam Root")
    assert int(facts.serial, 16) == issued.certificate.serial_number
    assert facts.dns_names == ("mail.fabrikam.example", "*.fabrikam.example")
    assert facts.ip_addresses == ("192.0.2.1", "2001:db8::1")
    assert facts.emails == ("Post@fabrikam.example",)
    assert facts.key_usage_oids == ("1.3.6.1.5.5.7.3.2",)
    assert (facts.not_before, facts.not_after) == (1767312000.0, 1798848000.0)
    assert f"cert-sha256:{facts.sha256}" == issued.cert_pin
    assert f"spki-sha256:{facts.spki_sha256}" == issued.spki_pin


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("ec-p256", "ec-secp256r1"),
        ("ec-brainpool256", "ec-brainpoolP256r1"),
        ("rsa-2048", "rsa-2048"),
        ("ed25519", "ed25519"),
    ],
)
def test_keys_are_named_by_kind_and_size(kind: str, word: str) -> None:
    assert certificate_facts(self_signed(key=kind).der).key == word


def test_the_same_certificate_is_read_once() -> None:
    der = self_signed(dns_names=["once.example"]).der
    assert certificate_facts(der) is certificate_facts(bytes(bytearray(der)))


def test_a_huge_certificate_is_read_but_not_kept() -> None:
    der = self_signed(dns_names=[f"host-{i}.example" for i in range(2000)]).der
    assert len(certificate_facts(der).dns_names) == 2000
    assert certificate_facts(der) is not certificate_facts(der)


def test_a_certificate_without_names_has_none_and_its_common_name_is_no_name() -> None:
    facts = certificate_facts(odd(subject="mail.fabrikam.example"))
    assert (facts.dns_names, facts.ip_addresses, facts.emails, facts.key_usage_oids) == ((), (), (), ())


@pytest.mark.parametrize(
    "san",
    [
        b"",
        b"garbage",
        b"\x30\x82\xff\xff",
        b"\x30\x05\x87\x03\x01\x02\x03",
        b"\x30\x03\x82\x01\xff",
        b"\x30\x02\xa3\x00",
    ],
    ids=["empty", "garbage", "cut off", "3-octet address", "8-bit name", "x400Address"],
)
def test_a_certificate_whose_names_do_not_parse_has_no_names(san: bytes) -> None:
    facts = certificate_facts(odd((SAN, san)))
    assert (facts.dns_names, facts.ip_addresses, facts.emails) == ((), (), ())
    assert facts.subject == "CN=odd.example"


def test_a_purpose_that_does_not_parse_is_stated_but_none_that_anybody_wants() -> None:
    assert certificate_facts(odd((EKU, b"garbage"))).key_usage_oids == ("unreadable",)


def test_names_with_blanks_nul_or_control_characters_are_left_out() -> None:
    names = [b"good.example", b"evil.example\0.good.example", b"new\nline.example", b"bl ank.example", b""]
    encoded = b"".join(b"\x82" + bytes([len(name)]) + name for name in names)
    facts = certificate_facts(odd((SAN, b"\x30" + bytes([len(encoded)]) + encoded)))
    assert facts.dns_names == ("good.example",)


def test_control_characters_of_a_subject_are_escaped() -> None:
    facts = certificate_facts(odd(subject="a\r\nX-Fake: 1\x1b[31m\u202eb"))
    assert facts.subject == r"CN=a\0D\0AX-Fake: 1\1B[31m\E2\80\AEb"
    assert facts.subject.isprintable()


@pytest.mark.filterwarnings("error")
def test_a_serial_number_of_zero_is_read_without_a_warning() -> None:
    der = odd()
    zero = der.replace(b"\x02\x01\x07", b"\x02\x01\x00", 1)
    assert zero != der
    assert certificate_facts(zero).serial == "0"


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x00", b"\x30\x84\xff\xff\xff\xff", b"-----BEGIN", b"\0" * 50])
def test_what_is_no_certificate_raises_valueerror(der: bytes) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        certificate_facts(der)
    with pytest.raises(ValueError, match="no certificate"):
        public_key_info(der)


SAMPLE = self_signed(dns_names=["sample.example"], emails=["a@sample.example"], ips=["192.0.2.9"]).der


@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
def test_a_changed_octet_gives_facts_or_valueerror(place: int, change: int) -> None:
    der = bytearray(SAMPLE)
    der[place] ^= change
    try:
        facts = certificate_facts(bytes(der))
    except ValueError:
        return
    assert facts.der == der
    assert facts.subject.isprintable()


@given(st.integers(0, len(SAMPLE) - 1))
def test_a_certificate_that_is_cut_off_raises_valueerror(length: int) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        certificate_facts(SAMPLE[:length])


@pytest.mark.parametrize("kind", ["ec-p256", "rsa-2048", "ed25519"])
def test_the_public_key_is_cut_out_as_it_stands(kind: str) -> None:
    issued = self_signed(key=kind)
    spki = issued.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key_info(issued.der) == spki


def openssl(command: str, data: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *command.split()], input=data, capture_output=True, check=True).stdout


@pytest.mark.peer
@needs_openssl
def test_a_pin_is_the_one_that_openssl_computes_even_for_an_unusual_encoding() -> None:
    """A compressed point is re-encoded by libraries; the pin is over the certificate's own octets."""
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt point-format:compressed"
    made = openssl(f"{request} -nodes -keyout /dev/null -subj /CN=c -outform DER")
    spki = openssl("x509 -inform DER -noout -pubkey", made)
    der = base64.b64decode(b"".join(spki.splitlines()[1:-1]))
    assert certificate_facts(made).spki_sha256 == base64.b64encode(hashlib.sha256(der).digest()).decode()


def test_opaque_facts_are_of_no_use_but_as_evidence() -> None:
    facts = opaque_facts(b"whatever")
    assert facts.sha256 == hashlib.sha256(b"whatever").hexdigest()
    assert (facts.dns_names, facts.not_after, facts.spki_sha256) == ((), 0.0, "")
