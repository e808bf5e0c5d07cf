"""Connections to an LDAP server: ldap3's, with TLS of our own, since its settings check no name by default."""

from __future__ import annotations

import math
import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mta.model.directory import TrustRung
from mta.rfc.pkix.bundle import pem_of

if TYPE_CHECKING:
    import ldap3


_WRAPPING = re.compile(r"[()'\"\\]|_ssl\.c:[0-9]+")


@dataclass(frozen=True, slots=True)
class LdapSettings:
    """What contract_directory.LdapSource says; `anchors` are the CAs of the server (DER), empty: the system's."""

    host: str
    port: int
    tls: str  # ldaps, starttls, none
    base: str
    user: str = ""
    password: str = field(default="", repr=False)
    anchors: tuple[bytes, ...] = ()
    addresses: tuple[str, ...] = ("mail", "proxyAddresses")
    certificates: tuple[str, ...] = ("userCertificate;binary", "userSMIMECertificate;binary")
    object_filter: str = ""
    domains: tuple[str, ...] = ()
    rung: TrustRung = TrustRung.ANCHORED
    timeout: float = 5.0
    name: str = "ldap"


class Refused(Exception):
    """The server answered, and the answer was an error."""


def connect(settings: LdapSettings) -> ldap3.Connection:
    """An open, secured and bound connection. Raises ldap3's errors and Refused."""
    import ldap3

    server = ldap3.Server(
        settings.host,
        settings.port,
        use_ssl=settings.tls == "ldaps",
        tls=_tls(settings) if settings.tls != "none" else None,
        get_info=ldap3.NONE,
        connect_timeout=settings.timeout,
    )
    connection = ldap3.Connection(
        server,
        settings.user or None,
        settings.password or None,
        authentication=ldap3.SIMPLE if settings.user else ldap3.ANONYMOUS,
        client_strategy=ldap3.SAFE_SYNC,
        read_only=True,
        auto_referrals=False,
        check_names=False,
        receive_timeout=math.ceil(settings.timeout),  # ldap3 hands it to the kernel as whole seconds
    )
    try:
        connection.open()
        if settings.tls == "starttls":
            connection.start_tls()
        good, result, _, _ = connection.bind()
        if not good:
            raise Refused(f"the bind failed: {result['description']} {result['message']}".strip())
    except BaseException:
        close(connection)
        raise
    return connection


def _tls(settings: LdapSettings) -> ldap3.Tls:
    """TLS that believes the configured CAs and checks the server's name, both by OpenSSL."""
    import ldap3

    pem = "".join(map(pem_of, settings.anchors))
    context = ssl.create_default_context(cadata=pem or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    class Verified(ldap3.Tls):  # type: ignore[misc]
        """ldap3's hook, with our context."""

        def wrap_socket(self, connection: ldap3.Connection, do_handshake: bool = False) -> None:
            """The handshake, in bounded time."""
            connection.socket.settimeout(settings.timeout)
            connection.socket = context.wrap_socket(connection.socket, server_hostname=settings.host)

    return Verified(validate=ssl.CERT_REQUIRED)


def close(connection: ldap3.Connection) -> None:
    """The socket at once: an orderly end would wait for a server that may be silent."""
    if connection.socket is not None:
        connection.socket.close()


def in_words(error: BaseException) -> str:
    """What ldap3 says, without the brackets and quotes of the exceptions it has wrapped."""
    text = " ".join(_WRAPPING.sub(" ", str(error)).split()).replace(" .", "").strip(" ,")
    return text[:300] or type(error).__name__
