"""Name constraints (RFC 5280 §4.2.1.10): whether every name of a path is one that its issuers may certify.

Those of an anchor hold as well (RFC 5937 §2). Addresses are constrained wherever they stand: as an rfc822Name, as a
SmtpUTF8Mailbox (RFC 9598 §6), or in the subject, whatever other names there are. What cannot be made sense of fits no
permitted subtree and every excluded one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from mta.model.address import ascii_lower, unquoted
from mta.rfc.idna.encode import a_labels
from mta.rfc.pkix.certificate import UNREADABLE_ERRORS, certificate_facts
from mta.rfc.pkix.der import content, elements, extension_of
from mta.rfc.pkix.general_name import (
    DIRECTORY,
    EMAIL,
    HOST,
    IP,
    OTHER_MAILBOX,
    URI,
    GeneralName,
    is_self_issued,
    names_in,
    network,
    read_name,
)

NAME_CONSTRAINTS = b"\x55\x1d\x1e"  # 2.5.29.30
MOST_COMPARISONS = 100_000  # of one path: a stranger writes both the names and the constraints
_PERMITTED, _EXCLUDED = 0xA0, 0xA1
_NO_MINIMUM = b"\x80\x01\x00"  # the default, which some write out


@dataclass(frozen=True, slots=True)
class Constraints:
    """What one issuer may certify. `plain`: no subtree has a minimum or maximum, which PKIX gives no meaning."""

    critical: bool
    permitted: tuple[GeneralName, ...] = ()
    excluded: tuple[GeneralName, ...] = ()
    plain: bool = True

    def fault(self, name: GeneralName) -> str:
        """Why this name is not the issuer's to give; empty: it is."""
        permitted = [base for base in self.permitted if base.form == name.form]
        excluded = [base for base in self.excluded if base.form == name.form]
        if not permitted and not excluded:
            return ""
        inside = _INSIDE.get(name.form)
        if inside is None or not self.plain:
            # RFC 5280 §4.2.1.10: process what is critical, or reject; an address is never let pass
            counts = self.critical or inside is not None or name.form == OTHER_MAILBOX
            return "constrains in a way that is not understood" if counts else ""
        if permitted and not any(_holds(inside, base, name, unclear=False) for base in permitted):
            return "does not permit"
        if any(_holds(_REACHES.get(name.form, inside), base, name, unclear=True) for base in excluded):
            return "excludes"
        return ""


def constraint_fault(path: Sequence[bytes]) -> str:
    """Why a path (certificates in DER, leaf first, anchor last) names what it may not; empty: it may. Never raises."""
    left = MOST_COMPARISONS
    for depth in range(len(path) - 1, 0, -1):
        constraints = _of_issuer(path[depth])
        if constraints is None:
            continue
        if not isinstance(constraints, Constraints):
            return f"the name constraints of {_subject(path[depth])} cannot be read: {constraints}"
        for below in _bound(path[:depth]):
            names, problem = _names(below)
            left -= len(names) * (len(constraints.permitted) + len(constraints.excluded))
            if problem or left < 0:
                return problem or f"{_subject(below)} names too much to be compared"
            for name in names:
                if fault := constraints.fault(name):
                    return f"{_subject(below)} is for {name}, which {_subject(path[depth])} {fault}"
    return ""


def _bound(below: Sequence[bytes]) -> Iterator[bytes]:
    """Those that the constraints are about: RFC 5280 §6.1.3 (b) leaves out self-issued ones between."""
    for depth, der in enumerate(below):
        if depth == 0 or not is_self_issued(der):
            yield der


def _of_issuer(der: bytes) -> Constraints | str | None:
    """The constraints in a certificate, what is wrong with them, or None."""
    try:
        extension = extension_of(der, NAME_CONSTRAINTS)
        return _read(extension[0], extension[1]) if extension else None
    except UNREADABLE_ERRORS as error:
        return str(error)
    except (IndexError, StopIteration):
        return "they are cut off"


def _read(critical: bool, value: bytes) -> Constraints:
    subtrees: dict[int, tuple[GeneralName, ...]] = {}
    plain = True
    for part in elements(content(value)):
        trees = [list(elements(content(tree))) for tree in elements(content(part))]
        subtrees[part[0]] = tuple(read_name(tree[0]) for tree in trees)
        plain = plain and all(set(tree[1:]) <= {_NO_MINIMUM} for tree in trees)
    return Constraints(critical, subtrees.get(_PERMITTED, ()), subtrees.get(_EXCLUDED, ()), plain)


def _names(der: bytes) -> tuple[list[GeneralName], str]:
    try:
        return list(names_in(der)), ""
    except (IndexError, StopIteration, *UNREADABLE_ERRORS) as error:
        return [], f"the names of {_subject(der)} cannot be read: {error}"


def _subject(der: bytes) -> str:
    try:
        return certificate_facts(der).subject or "a certificate without a name"
    except ValueError:
        return "an unreadable certificate"


# --- which name is inside which subtree -----------------------------------------------------------------------------


def _holds(
    inside: Callable[[GeneralName, GeneralName], bool], base: GeneralName, name: GeneralName, *, unclear: bool
) -> bool:
    try:
        return inside(base, name)
    except UNREADABLE_ERRORS:
        return unclear


def _email(base: GeneralName, name: GeneralName) -> bool:
    """A mailbox, all of a host, or all of the hosts below a domain (`.x.example`)."""
    local, at, domain = name.text.rpartition("@")
    if not at:
        raise ValueError("an address without a domain")
    host = a_labels(domain.removesuffix("."))
    only, _, of = base.text.rpartition("@")
    if only and (ascii_lower(unquoted(only)) != ascii_lower(unquoted(local))):
        return False
    return _is_host(of, host)


def _host(base: GeneralName, name: GeneralName) -> bool:
    """The base, or anything with labels before it."""
    wanted, host = _plain_host(base.text), _plain_host(name.text)
    if not wanted:
        return True
    if wanted.startswith("."):
        return host.endswith(wanted)
    return host == wanted or host.endswith(f".{wanted}")


def _reaches_host(base: GeneralName, name: GeneralName) -> bool:
    """Inside, or a wildcard that covers the base itself."""
    wanted, host = _plain_host(base.text), _plain_host(name.text)
    return _host(base, name) or (host.startswith("*.") and wanted.partition(".")[2] == host[2:])


def _uri(base: GeneralName, name: GeneralName) -> bool:
    """The host of the URI alone is constrained; one without a host, or with an address, is no match for anything."""
    host = urlsplit(name.text).hostname or ""
    if not host or ":" in host or host.replace(".", "").isdigit():
        raise ValueError("a URI without a host name")
    return _is_host(base.text, a_labels(host.removesuffix(".")))


def _address(base: GeneralName, name: GeneralName) -> bool:
    address, span = ip_address(name.value), network(base.value)
    return address.version == span.version and address in span


def _directory(base: GeneralName, name: GeneralName) -> bool:
    """RFC 5280 §7.1: name parts are compared without regard to case and white space, as the library has it."""
    from asn1crypto.x509 import Name

    wanted, presented = Name.load(base.value).chosen, Name.load(name.value).chosen
    return len(presented) >= len(wanted) and all(one == two for one, two in zip(wanted, presented, strict=False))


def _is_host(base: str, host: str) -> bool:
    wanted = a_labels(base.removeprefix(".").removesuffix("."))
    if not wanted:
        raise ValueError("a constraint without a host")
    return host.endswith(f".{wanted}") if base.startswith(".") else host == wanted


def _plain_host(text: str) -> str:
    if not text.isascii():
        raise ValueError("a host name that is not ASCII")
    return text.lower().removesuffix(".")


_INSIDE: dict[str, Callable[[GeneralName, GeneralName], bool]] = {
    EMAIL: _email,
    HOST: _host,
    DIRECTORY: _directory,
    URI: _uri,
    IP: _address,
}
_REACHES = {HOST: _reaches_host}
"""Where being excluded goes further than not being inside."""
