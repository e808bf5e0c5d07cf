"""Name constraints: which names a path may give."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mta.rfc.pkix.constraints import constraint_fault
from mta.rfc.pkix.general_name import GeneralName, read_name
from mta.rfc.pkix.person import SMTP_UTF8_MAILBOX

UPN = "1.3.6.1.4.1.311.20.2.3"
DNS, URI = x509.DNSName, x509.UniformResourceIdentifier
E822 = x509.RFC822Name._init_without_validation
OID = x509.ObjectIdentifier


def utf8(text: str, tag: int = 0x0C) -> bytes:
    octets = text.encode()
    return bytes((tag, len(octets))) + octets


def mailbox(text: str) -> x509.OtherName:
    return x509.OtherName(OID(SMTP_UTF8_MAILBOX), utf8(text))


def upn(text: str) -> x509.OtherName:
    return x509.OtherName(OID(UPN), utf8(text))


def directory(*names: tuple[x509.ObjectIdentifier, str]) -> x509.DirectoryName:
    return x509.DirectoryName(name(*names))


def name(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in attributes])


@lru_cache(1)
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def certificate(
    subject: x509.Name,
    issuer: x509.Name,
    *sans: x509.GeneralName,
    constraints: x509.ExtensionType | None = None,
    critical: bool = True,
) -> bytes:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(issuer, subject, key().public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=critical)
    return builder.sign(key(), None).public_bytes(Encoding.DER)


CA, SUB = name((NameOID.COMMON_NAME, "CA")), name((NameOID.COMMON_NAME, "Sub"))
NOBODY = name()


def path(
    constraints: x509.ExtensionType, *sans: x509.GeneralName, subject: x509.Name = NOBODY, critical: bool = True
) -> list[bytes]:
    return [certificate(subject, CA, *sans), certificate(CA, CA, constraints=constraints, critical=critical)]


def permitted(*names: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(names, None)


def excluded(*names: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(None, names)


MAIL = E822("fine.example")
INSIDE = [
    # a base, a name, whether the name is inside
    (MAIL, E822("ann@fine.example"), True),
    (MAIL, E822("ann@FINE.example"), True),
    (MAIL, E822("ann@sub.fine.example"), False),
    (MAIL, E822("ann@notfine.example"), False),
    (MAIL, E822('"x@evil.example"@fine.example'), True),
    (MAIL, E822('"x@fine.example"@evil.example'), False),
    (MAIL, E822("ann@evil.example@fine.example"), True),
    (MAIL, mailbox("änn@fine.example"), True),
    (MAIL, mailbox("änn@evil.example"), False),
    (MAIL, mailbox("ann@evil.example"), False),
    (MAIL, mailbox("änn@böse.example"), False),
    (E822("xn--bse-sna.example"), mailbox("änn@böse.example"), True),
    (E822("xn--bse-sna.example"), mailbox("änn@xn--bse-sna.example"), True),
    (E822(".fine.example"), E822("ann@sub.fine.example"), True),
    (E822(".fine.example"), E822("ann@fine.example"), False),
    (E822(".fine.example"), mailbox("änn@sub.fine.example"), True),
    (E822("ann@fine.example"), E822("ann@fine.example"), True),
    (E822("ann@fine.example"), E822('"Ann"@fine.example'), True),  # one mailbox by our own reading
    (E822("ann@fine.example"), E822("bob@fine.example"), False),
    (E822("ann@fine.example"), mailbox("änn@fine.example"), False),
    (DNS("fine.example"), DNS("fine.example"), True),
    (DNS("fine.example"), DNS("mail.Fine.example"), True),
    (DNS("fine.example"), DNS("*.fine.example"), True),
    (DNS("fine.example"), DNS("notfine.example"), False),
    (DNS("fine.example"), DNS("fine.example."), True),
    (DNS("fine.example."), DNS("a.fine.example"), True),
    (DNS(".fine.example"), DNS("a.fine.example"), True),
    (DNS(".fine.example"), DNS("fine.example"), False),
    (DNS(""), DNS("anything.example"), True),
    (URI(".fine.example"), URI("https://a.fine.example/x"), True),
    (URI("fine.example"), URI("https://fine.example:8443/@evil.example"), True),
    (URI("fine.example"), URI("https://fine.example@evil.example/"), False),
    (x509.IPAddress(ip_network("192.0.2.0/24")), x509.IPAddress(ip_address("192.0.2.7")), True),
    (x509.IPAddress(ip_network("192.0.2.0/24")), x509.IPAddress(ip_address("192.0.3.7")), False),
    (x509.IPAddress(ip_network("192.0.2.0/24")), x509.IPAddress(ip_address("2001:db8::7")), False),
    (x509.IPAddress(ip_network("2001:db8::/32")), x509.IPAddress(ip_address("2001:db8::7")), True),
    (directory((NameOID.ORGANIZATION_NAME, "Fine")), directory((NameOID.ORGANIZATION_NAME, "FINE")), True),
    (directory((NameOID.ORGANIZATION_NAME, "Fine")), directory((NameOID.COMMON_NAME, "x")), False),
]


@pytest.mark.parametrize(("base", "named", "inside"), INSIDE, ids=[f"{a.value}-{b.value}"[:70] for a, b, _ in INSIDE])
def test_inside_is_permitted_and_what_is_excluded(
    base: x509.GeneralName, named: x509.GeneralName, inside: bool
) -> None:
    assert (constraint_fault(path(permitted(base), named)) == "") is inside
    assert (constraint_fault(path(excluded(base), named)) == "") is not inside


@pytest.mark.parametrize(
    ("base", "named"),
    [
        (MAIL, E822("nobody")),
        (MAIL, mailbox("änn")),
        (MAIL, x509.OtherName(OID(SMTP_UTF8_MAILBOX), utf8("ann@fine.example", 0x16))),
        (MAIL, mailbox("änn@\N{KELVIN SIGN}.example")),
        (E822(""), E822("ann@fine.example")),
        (E822("."), E822("ann@fine.example")),
        (URI("fine.example"), URI("urn:x")),
        (URI("fine.example"), URI("https://192.0.2.1/")),
    ],
)
def test_what_cannot_be_made_sense_of_is_let_pass_by_none(base: x509.GeneralName, named: x509.GeneralName) -> None:
    assert constraint_fault(path(permitted(base), named))
    assert constraint_fault(path(excluded(base), named))


def test_a_wildcard_covers_an_excluded_host() -> None:
    assert constraint_fault(path(excluded(DNS("secret.fine.example")), DNS("*.fine.example")))
    assert not constraint_fault(path(excluded(DNS("a.secret.fine.example")), DNS("*.fine.example")))


@pytest.mark.parametrize("sans", [(), (DNS("fine.example"),), (E822("ann@fine.example"),)])
def test_an_address_in_the_subject_is_constrained_whatever_else_is_there(sans: tuple[x509.GeneralName, ...]) -> None:
    subject = name((NameOID.EMAIL_ADDRESS, "ceo@evil.example"))
    assert "ceo@evil.example" in constraint_fault(path(permitted(MAIL), *sans, subject=subject))
    assert not constraint_fault(path(permitted(E822("evil.example"), MAIL), *sans, subject=subject))


@pytest.mark.parametrize("critical", [True, False])
def test_constraints_of_a_form_that_is_not_known_matter_where_a_name_has_it(critical: bool) -> None:
    unknown = excluded(upn("x"), x509.RegisteredID(OID("1.2.3")))
    assert not constraint_fault(path(unknown, E822("ann@fine.example"), mailbox("änn@fine.example"), critical=critical))
    assert bool(constraint_fault(path(unknown, upn("ann"), critical=critical))) is critical
    assert bool(constraint_fault(path(unknown, x509.RegisteredID(OID("1.2.4")), critical=critical))) is critical
    # an address that counts is never let pass
    assert constraint_fault(path(permitted(mailbox("x")), mailbox("änn@fine.example"), critical=critical))


def test_constraints_gather_along_a_path_and_pass_over_self_issued_ones() -> None:
    anchor = certificate(CA, CA, constraints=permitted(E822("fine.example"), E822("other.example")))
    again = certificate(CA, CA, E822("ca@evil.example"))
    sub = certificate(SUB, CA, constraints=excluded(E822("other.example")))
    leaf = certificate(NOBODY, SUB, E822("ann@fine.example"))
    other = certificate(NOBODY, SUB, E822("ann@other.example"))
    assert constraint_fault([leaf, sub, again, anchor]) == ""
    assert "excludes" in constraint_fault([other, sub, again, anchor])
    assert "does not permit" in constraint_fault([again, anchor])  # as a leaf it is named, too
    named = certificate(SUB, CA, E822("ca@evil.example"))
    assert "ca@evil.example" in constraint_fault([leaf, named, anchor])


def raw(permitted: bytes) -> x509.UnrecognizedExtension:
    def sequence(tag: int, body: bytes) -> bytes:
        return bytes((tag, len(body))) + body

    return x509.UnrecognizedExtension(OID("2.5.29.30"), sequence(0x30, sequence(0xA0, sequence(0x30, permitted))))


BASE = b"\x81\x0cfine.example"


@pytest.mark.parametrize(
    ("body", "good"),
    [
        (BASE, True),
        (BASE + b"\x80\x01\x00", True),  # the default, written out
        (BASE + b"\x80\x01\x01", False),
        (BASE + b"\x81\x01\x05", False),
        (b"\x8f\x01x", False),
        (b"", False),
        (b"\x81\x40", False),
    ],
)
def test_what_is_read_oddly_fails(body: bytes, good: bool) -> None:
    assert (constraint_fault(path(raw(body), E822("ann@fine.example"))) == "") is good


def test_names_and_constraints_beyond_all_measure_fail_at_once() -> None:
    many = [E822(f"a{number}@x.example") for number in range(600)]
    began = time.process_time()
    assert "too much" in constraint_fault(path(excluded(*many), *many))
    assert time.process_time() - began < 2


def test_the_name_of_a_form_is_told() -> None:
    assert read_name(b"\xa0\x09\x06\x03\x55\x04\x03\xa0\x02\x0c\x00").form == "otherName 2.5.4.3"
    assert str(GeneralName("rfc822Name", b"a\0b")) == "rfc822Name 610062"
    with pytest.raises(ValueError, match="form"):
        read_name(b"\x8f\x01x")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=40))
@example(b"0\x02\xa0\x00", b"0\x08\xa0\x060\x04\xa0\x02\x06\x00")
def test_odd_octets_are_a_fault_or_none_and_never_an_error(names: bytes, constraints: bytes) -> None:
    leaf = certificate(CA, CA, constraints=x509.UnrecognizedExtension(OID("2.5.29.17"), names))
    for bounds in (x509.UnrecognizedExtension(OID("2.5.29.30"), constraints), permitted(MAIL), excluded(upn("x"))):
        assert isinstance(constraint_fault([leaf, certificate(CA, CA, constraints=bounds)]), str)
