"""`connectors.X.inbound`: what mail that comes in must prove."""

from __future__ import annotations

from dataclasses import dataclass, field

from mta.contract.authentication import Authentication
from mta.contract.values import Network
from mta.model.tls import NO_REVOCATION, Pin, Revocation, TrustAnchors


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a client certificate must be. `names` and `ca` both hold; any one of `pins` suffices.

    `eku` is `any`, or `client` to demand extended key usage clientAuth where one is stated.
    """

    names: tuple[str, ...] = ()
    ca: TrustAnchors | None = None
    pins: tuple[Pin, ...] = ()
    eku: str = "any"
    revocation: Revocation = NO_REVOCATION


@dataclass(frozen=True, slots=True)
class InboundTls:
    """`inbound.tls`: required or optional, the least version (`1.2`, `1.3`), the client certificate."""

    required: bool = False
    min_version: str = "1.2"
    client_certificate: ClientCertificate | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """What mail coming in under this connector must prove. `combine` is `all` or `any`."""

    claims: frozenset[str] = frozenset({"mail_from", "header_from"})
    tls: InboundTls = field(default_factory=InboundTls)
    networks: tuple[Network, ...] = ()
    combine: str = "all"
    identity: str = "proof"  # or `none`: the peer's identity is deliberately not checked
    allow_own_sender: bool = False
    authentication: Authentication = field(default_factory=Authentication)
    header_from: str = "contract"  # or `dkim`: the partner's own aligned signature may stand in for the contract
    trusted_hops: tuple[Network, ...] = ()  # of a gateway in front of us: SPF is judged at what it received from
    broken: str = ""  # what is wrong with its files: nothing is taken under it until that is mended

    @property
    def demands_proof(self) -> bool:
        """Whether anything identifies the peer."""
        return bool(self.networks) or self.tls.client_certificate is not None
