"""A real OpenLDAP server on ports of its own, with people in it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import ldap3

from mta.adapters.directory.ldap_connection import LdapSettings
from mta.adapters.pki import Issued
from tests.support.pki import authority
from tests.support.programs import find
from tests.support.running_mta import free_port, until

BASE = "ou=people,dc=contoso,dc=example"
ADMIN, PASSWORD = "cn=admin,dc=contoso,dc=example", "a secret"
_CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.3.6.1.4.1.99999.1 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.3.6.1.4.1.99999.2 NAME 'mailPerson' SUP top AUXILIARY MAY proxyAddresses )
pidfile {folder}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {chain}
TLSCertificateKeyFile {key}
TLSCACertificateFile {ca}
database mdb
suffix dc=contoso,dc=example
directory {folder}/db
rootdn {admin}
rootpw {password}
access to attrs=userPassword by * auth
access to * by * read
"""
_LDIF = f"""
dn: dc=contoso,dc=example
objectClass: dcObject
objectClass: organization
o: Contoso
dc: contoso

dn: {BASE}
objectClass: organizationalUnit
ou: people
"""


@dataclass
class Slapd:
    """A server that can be stopped and started again; `settings` lead to it."""

    folder: Path
    issued: Issued
    port: int = field(default_factory=free_port)
    secure_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    _serial: int = 0

    def settings(self, tls: str = "starttls", **changes: object) -> LdapSettings:
        """How a source reaches it."""
        known: dict[str, object] = {
            "host": "localhost",
            "port": self.secure_port if tls == "ldaps" else self.port,
            "tls": tls,
            "base": BASE,
            "anchors": (authority("LDAP CA").der,),
            "timeout": 5.0,
        }
        return LdapSettings(**{**known, **changes})  # type: ignore[arg-type]

    def start(self) -> None:
        """Until it listens."""
        program = find("slapd")
        assert program is not None
        places = f"ldap://localhost:{self.port} ldaps://localhost:{self.secure_port}"
        command = [program, "-f", str(self.folder / "slapd.conf"), "-h", places, "-d", "0"]
        log = open(self.folder / "log", "ab")  # noqa: SIM115 - the process keeps it
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        until(lambda: self._listens() or self._ended(), describe=lambda: (self.folder / "log").read_text())

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.secure_port)) == 0

    def _ended(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        return False

    def stop(self) -> None:
        """At once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def add(self, *addresses: str, certificates: tuple[bytes, ...] = (), smime: tuple[bytes, ...] = ()) -> str:
        """A new person with these addresses (the first in mail); its name."""
        self._serial += 1
        name = f"cn=person {self._serial},{BASE}"
        attributes: dict[str, object] = {"sn": "x", "cn": f"person {self._serial}", "mail": addresses[0]}
        if addresses[1:]:
            attributes["proxyAddresses"] = [f"smtp:{one}" for one in addresses[1:]]
        if certificates:
            attributes["userCertificate;binary"] = list(certificates)
        if smime:
            attributes["userSMIMECertificate"] = list(smime)
        with self.admin() as connection:
            assert connection.add(name, ["inetOrgPerson", "mailPerson"], attributes), connection.result
        return name

    @contextlib.contextmanager
    def admin(self) -> Iterator[ldap3.Connection]:
        """A connection that may change everything."""
        server = ldap3.Server("localhost", self.port, get_info=ldap3.NONE)
        connection = ldap3.Connection(server, ADMIN, PASSWORD, auto_bind=True)
        yield connection
        connection.unbind()


@contextlib.contextmanager
def slapd(folder: Path) -> Iterator[Slapd]:
    """A running server with its files in `folder`."""
    ca = authority("LDAP CA")
    issued = ca.issue(dns_names=["localhost"])
    chain, key = issued.write(folder, "slapd")
    (folder / "db").mkdir()
    conf = _CONF.format(
        folder=folder, chain=chain, key=key, ca=ca.write(folder / "ldap-ca.pem"), admin=ADMIN, password=f'"{PASSWORD}"'
    )
    (folder / "slapd.conf").write_text(conf)
    (folder / "base.ldif").write_text(_LDIF)
    adding = [find("slapadd") or "slapadd", "-f", str(folder / "slapd.conf"), "-l", str(folder / "base.ldif")]
    subprocess.run(adding, check=True, capture_output=True)
    server = Slapd(folder, issued)
    server.start()
    try:
        yield server
    finally:
        server.stop()
