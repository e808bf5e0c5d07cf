"""The names that a certificate gives to its owner, as its issuers' constraints see them (RFC 5280 §4.2.1.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from mta.rfc.pkix.certificate import read_certificate
from mta.rfc.pkix.der import content, elements, extension_of, names_of
from mta.rfc.pkix.person import SMTP_UTF8_MAILBOX, mailbox_text, subject_emails

SUBJECT_ALT_NAME = b"\x55\x1d\x11"  # 2.5.29.17
_FORMS = {
    1: "rfc822Name",
    2: "dNSName",
    3: "x400Address",
    4: "directoryName",
    5: "ediPartyName",
    6: "uniformResourceIdentifier",
    7: "iPAddress",
    8: "registeredID",
}
EMAIL, HOST, DIRECTORY, URI, IP = (_FORMS[number] for number in (1, 2, 4, 6, 7))
_OTHER = 0
OTHER_MAILBOX = f"otherName {SMTP_UTF8_MAILBOX}"


@dataclass(frozen=True, slots=True)
class GeneralName:
    """One name: its form (`rfc822Name`, `otherName 1.2.3`, ...) and its content; texts as Latin-1 has them."""

    form: str
    value: bytes

    @property
    def text(self) -> str:
        """For people, and for forms that are text. A SmtpUTF8Mailbox is UTF-8, all others are ASCII."""
        return self.value.decode("utf-8", "surrogateescape")

    def __str__(self) -> str:
        readable = self.form in (EMAIL, HOST, URI) and self.text.isprintable()
        return f"{self.form} {self.text if readable else self.value.hex()[:80]}"


def read_name(element: bytes) -> GeneralName:
    """A GeneralName (DER). Raises ValueError."""
    number = element[0] & 0x1F
    if number == _OTHER:
        return GeneralName(f"otherName {_dotted(content(next(elements(content(element)), b'')))}", content(element))
    if number not in _FORMS:
        raise ValueError("a name of a form that nobody has defined")
    return GeneralName(_FORMS[number], content(element))


def names_in(der: bytes) -> Iterator[GeneralName]:
    """Every name of a certificate (DER), the addresses in its subject among them. Raises ValueError.

    RFC 9598 §6: a SmtpUTF8Mailbox is an address like an rfc822Name; it is told as both.
    """
    subject, _ = names_of(der)
    if content(subject):
        yield GeneralName(DIRECTORY, subject)
    for email in subject_emails(read_certificate(der)):
        yield GeneralName(EMAIL, email.encode("utf-8", "surrogatepass"))
    extension = extension_of(der, SUBJECT_ALT_NAME)
    for element in elements(content(extension[1])) if extension else ():
        name = read_name(element)
        yield name
        if name.form == OTHER_MAILBOX:
            yield GeneralName(EMAIL, _mailbox(name.value).encode())


def is_self_issued(der: bytes) -> bool:
    """Whether subject and issuer are the same (RFC 5280 §6.1). Raises ValueError."""
    subject, issuer = names_of(der)
    return subject == issuer


def network(value: bytes) -> IPv4Network | IPv6Network:
    """An iPAddress of a constraint: address and mask (RFC 5280 §4.2.1.10). Raises ValueError."""
    half = len(value) // 2
    mask = int.from_bytes(value[half:], "big")
    length = mask.bit_count()
    if len(value) not in (8, 32) or mask != ((1 << length) - 1) << (half * 8 - length):
        raise ValueError("a constraint on addresses that is no network")
    address = int.from_bytes(value[:half], "big") & mask
    return IPv4Network((address, length)) if half == 4 else IPv6Network((address, length))


def _mailbox(other: bytes) -> str:
    """The address in a SmtpUTF8Mailbox; empty for what is none."""
    _, value, *_ = [*elements(other), b"", b""]
    return mailbox_text(content(value)) if value else ""


def _dotted(oid: bytes) -> str:
    """An OBJECT IDENTIFIER (its content octets) as people write it."""
    numbers, number = [], 0
    for octet in oid:
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(number)
            number = 0
    if not numbers:
        raise ValueError("an identifier without a number")
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
