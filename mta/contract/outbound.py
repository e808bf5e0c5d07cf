"""`connectors.X.outbound`: what mail that goes out is promised."""

from __future__ import annotations

from dataclasses import dataclass, field

from mta.contract.smime import Smime
from mta.contract.values import HostPort, KeyPair
from mta.model.tls import NO_REVOCATION, Pin, Revocation, TlsLevel, TrustAnchors
from mta.ports.access import AccessGrant


@dataclass(frozen=True, slots=True)
class OutboundTls:
    """What the hop must prove. `names` of an empty tuple: derived from the route (policy/deliver.py)."""

    level: TlsLevel = TlsLevel.ENCRYPTED
    names: tuple[str, ...] = ()
    ca: TrustAnchors | None = None  # None: the system's
    pins: tuple[Pin, ...] = ()
    min_version: str = "1.2"
    revocation: Revocation = NO_REVOCATION
    dane: str = "opportunistic"  # or mandatory, or off; without TLS nothing is asked
    mta_sts: str = "opportunistic"  # the same; fixed hosts have no such policy
    requiretls: str = "enforce"  # or `opportunistic`: mail that demands TLS needs no more here than other mail

    @property
    def floor(self) -> TlsLevel:
        """What every hop proves at the least; where DANE or MTA-STS must be there, that is the host's name."""
        must = self.level is not TlsLevel.NONE and "mandatory" in (self.dane, self.mta_sts)
        return max(self.level, TlsLevel.VERIFIED) if must else self.level


@dataclass(frozen=True, slots=True)
class Auth:
    """SMTP AUTH at a smart host; secrets were read from their files. With `oauth` a token takes the password's place.

    `mechanism` is `auto`, `xoauth2` or `oauthbearer`.
    """

    user: str
    password: str = field(default="", repr=False)
    oauth: AccessGrant | None = None
    mechanism: str = "auto"


@dataclass(frozen=True, slots=True)
class Protect:
    """When mail goes to the portal instead: `never`, `triggers`, `unencrypted` or `always`, and with which label."""

    when: str = "never"
    label: str = ""


@dataclass(frozen=True, slots=True)
class Outbound:
    """What mail going out under this connector is promised. `hosts` empty: by MX."""

    hosts: tuple[HostPort, ...] = ()
    tls: OutboundTls = field(default_factory=OutboundTls)
    client_certificate: KeyPair | None = None
    auth: Auth | None = None
    port: int = 25  # of hosts found by MX
    dkim: str = "auto"  # or `off`: mail of our domains leaves unsigned
    arc: str = "off"  # or `seal`: what was judged on arrival leaves under our seal
    smime: Smime = field(default_factory=Smime)
    protect: Protect = field(default_factory=Protect)
    broken: str = ""  # what is wrong with its files: nothing leaves under it until that is mended
    audited: Outbound | None = None  # of a connector in audit mode (policy/route.py): what its contract says

    @property
    def may_protect(self) -> bool:
        """Whether any mail ever goes to the portal."""
        return self.protect.when != "never" or self.smime.without_certificate == "portal"
