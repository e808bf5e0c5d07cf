"""Certificates in an LDAP directory (ports.CertificateSource): `userCertificate` (RFC 4523), `userSMIMECertificate`
(RFC 2798).

ldap3 speaks synchronously: a few threads do, each with a connection of its own that is kept, and opened anew once when
the server has closed it.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import idna

from mta.adapters.directory.ldap_connection import LdapSettings, Refused, close, connect, in_words
from mta.errors import SmimeError
from mta.model.address import Mailbox, ascii_lower
from mta.model.directory import Candidate, SourceAnswer, SourceStatus
from mta.model.smime import SignatureStatus
from mta.rfc.pkix.bundle import certificates_in
from mta.rfc.pkix.person import person_facts
from mta.rfc.smime.verify import verify_signed_data

if TYPE_CHECKING:
    import ldap3

_THREADS = 4
_MOST_ENTRIES = 50  # that one address may be found in
_MOST_CERTIFICATES = 200
_BINARY = ";binary"
_PREFIX = "smtp:"  # of proxyAddresses; the chief one has it in capitals


class LdapSource:
    """One LDAP server."""

    keeps = True

    def __init__(self, settings: LdapSettings) -> None:
        self.name = settings.name
        self.rung = settings.rung
        self._settings = settings
        self._threads = ThreadPoolExecutor(_THREADS, "directory-ldap")
        self._own = threading.local()

    async def find(self, mailbox: Mailbox) -> SourceAnswer:
        """The certificates of the entries that hold this address, or its whole domain."""
        if not self._is_asked(mailbox.ascii_domain):
            return SourceAnswer(SourceStatus.NONE, notes=(f"it is not asked about {mailbox.ascii_domain}",))
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, mailbox)

    async def refresh(self) -> None:
        """There is nothing to look after."""

    async def close(self) -> None:
        """Let go of the threads; their connections end with them."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _is_asked(self, domain: str) -> bool:
        domains = self._settings.domains
        return not domains or any(
            domain == pattern or (pattern.startswith("*.") and domain.endswith(pattern[1:])) for pattern in domains
        )

    # --- in a thread

    def _answer(self, mailbox: Mailbox) -> SourceAnswer:
        from ldap3.core.exceptions import LDAPException

        try:
            entries = self._search(search_filter(self._settings, mailbox))
        except (LDAPException, Refused, OSError) as error:
            self._drop()
            where = f"{self._settings.host}:{self._settings.port}"
            return SourceAnswer(SourceStatus.DOWN, detail=f"{where}: {in_words(error)}")
        notes: list[str] = []
        candidates = tuple(candidate for entry in entries for candidate in self._candidates(entry, mailbox, notes))
        status = SourceStatus.FOUND if candidates else SourceStatus.NONE
        return SourceAnswer(status, candidates[:_MOST_CERTIFICATES], notes=tuple(notes))

    def _search(self, wanted: str) -> list[dict[str, object]]:
        """The entries; over a kept connection, or over a new one where that turns out to be dead."""
        from ldap3.core.exceptions import LDAPCommunicationError

        kept = getattr(self._own, "connection", None)
        if kept is not None:
            try:
                return self._ask(kept, wanted)
            except (LDAPCommunicationError, OSError):
                self._drop()
        self._own.connection = connect(self._settings)
        return self._ask(self._own.connection, wanted)

    def _ask(self, connection: ldap3.Connection, wanted: str) -> list[dict[str, object]]:
        settings = self._settings
        good, result, response, _ = connection.search(
            settings.base,
            wanted,
            attributes=[*_both_forms(settings.certificates), *settings.addresses],
            size_limit=_MOST_ENTRIES,
            time_limit=math.ceil(settings.timeout),
        )
        if not good and result["result"] != 0:
            raise Refused(f"{result['description']} {result['message']}".strip())
        return [entry for entry in response or () if entry["type"] == "searchResEntry"]

    def _drop(self) -> None:
        connection = getattr(self._own, "connection", None)
        self._own.connection = None
        if connection is not None:
            close(connection)

    # --- entries

    def _candidates(self, entry: dict[str, Any], mailbox: Mailbox, notes: list[str]) -> Iterator[Candidate]:
        values = {name.lower(): value for name, value in entry["raw_attributes"].items()}
        aliases = tuple(_addresses(values, self._settings.addresses))
        names = {ascii_lower(alias) for alias in aliases}
        is_theirs = not names.isdisjoint(_spellings(mailbox))
        for_domain = not is_theirs and f"@{mailbox.ascii_domain}" in names
        known_to = self._certificates(entry["dn"], values, notes)
        chain = tuple(der for der, kept in known_to.items() if kept.is_authority)
        for der, kept in known_to.items():
            if not kept.is_authority:
                yield Candidate(
                    der=der,
                    source=self.name,
                    rung=self.rung,
                    found_for=f"@{mailbox.ascii_domain}" if for_domain else mailbox.key,
                    stated=for_domain,
                    aliases=aliases if is_theirs else (),  # servers match loosely: strasse is found for straße
                    chain=chain,
                    capabilities=kept.capabilities,
                    place=entry["dn"],
                )

    def _certificates(self, dn: str, values: dict[str, list[bytes]], notes: list[str]) -> dict[bytes, _Kept]:
        """Each certificate of an entry once; values that are none are noted."""
        certificates: dict[bytes, _Kept] = {}
        for attribute in self._settings.certificates:
            for value in _values(values, attribute):
                try:
                    facts = [(der, person_facts(der).is_authority) for der in certificates_in(value)]
                except ValueError as error:
                    notes.append(f"{attribute} of {dn}: {error}")
                    continue
                capabilities = _capabilities(value) if "smime" in attribute.lower() else ()
                for der, is_authority in facts:
                    before = certificates.get(der)
                    certificates[der] = _Kept(is_authority, capabilities or (before.capabilities if before else ()))
        return certificates


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is known of a certificate beside its octets."""

    is_authority: bool
    capabilities: tuple[str, ...] = ()


def _values(values: dict[str, list[bytes]], attribute: str) -> tuple[bytes, ...]:
    """The values of an attribute under both of its names."""
    name = attribute.lower()
    return tuple(
        value for attribute in dict.fromkeys((name, name.removesuffix(_BINARY))) for value in values.get(attribute, ())
    )


def _capabilities(value: bytes) -> tuple[str, ...]:
    """What the owner says that it can read, where its signature over that is good (RFC 2798 §2.8)."""
    for content in (None, b""):  # inside, or left out because there is none
        try:
            signers = verify_signed_data(value, content).signers
        except SmimeError:
            return ()
        good = next((signer for signer in signers if signer.status is SignatureStatus.GOOD), None)
        if good is not None:
            return good.capabilities
    return ()


def _both_forms(attributes: Iterable[str]) -> list[str]:
    """Servers differ: RFC 4523 §2 demands `;binary` of userCertificate, OpenLDAP refuses it elsewhere."""
    return list(
        dict.fromkeys(name for attribute in attributes for name in (attribute, attribute.removesuffix(_BINARY)))
    )


def search_filter(settings: LdapSettings, mailbox: Mailbox) -> str:
    """The filter that finds the entries of an address, or of its domain (RFC 4515); everything in it is escaped."""
    from ldap3.utils.conv import escape_filter_chars

    wanted = [*_spellings(mailbox), f"@{mailbox.ascii_domain}"]
    terms = "".join(
        f"({attribute}={prefix}{escape_filter_chars(one)})"
        for attribute in settings.addresses
        for one in dict.fromkeys(wanted)
        for prefix in ("", _PREFIX)
    )
    return f"(&{settings.object_filter}(|{terms}))" if settings.object_filter else f"(|{terms})"


def _spellings(mailbox: Mailbox) -> list[str]:
    """An address with its domain in A-labels, in U-labels and as it was written; servers ignore case in addresses."""
    domain = mailbox.ascii_domain
    spelled = (mailbox.key, f"{mailbox.local}@{domain}", str(mailbox), f"{mailbox.name}@{_u_labels(mailbox)}")
    return list(dict.fromkeys(map(ascii_lower, spelled)))


def _u_labels(mailbox: Mailbox) -> str:
    try:
        return idna.decode(mailbox.ascii_domain)
    except (UnicodeError, IndexError):  # idna's errors are UnicodeErrors; an address literal is no name
        return mailbox.ascii_domain


def _addresses(values: dict[str, list[bytes]], attributes: tuple[str, ...]) -> Iterator[str]:
    """The mail addresses of an entry; proxyAddresses hold those of other systems, too (`x500:`, `sip:`)."""
    for attribute in attributes:
        for value in values.get(attribute.lower(), ()):
            text = value.decode("utf-8", "replace")
            prefix, colon, rest = text.partition(":")
            if not colon:
                yield text
            elif prefix.lower() == "smtp":
                yield rest
