"""What DNS and policy hosts say of the TLS of one next hop: asked anew for each attempt, remembered below us.

TLS discovery of RFC 7672 §2.2, and MTA-STS of RFC 8461 §5. Nothing is decided here; policy/precedence.py does.
"""

from __future__ import annotations

from dataclasses import dataclass

from mta.contract.outbound import Outbound
from mta.contract.values import HostPort
from mta.model.tls import TlsLevel
from mta.pipeline.site import Site
from mta.policy.dane import NOT_ASKED, DaneFinding, DaneState
from mta.policy.discover import Findings
from mta.policy.precedence import OFF
from mta.policy.route import Destination, is_address
from mta.policy.sts import NO_POLICY, StsFinding, about_host
from mta.ports import AddressAnswer, DnsStatus, MxAnswer
from mta.rfc.dane.parse import owner, select


@dataclass(frozen=True, slots=True)
class NextHop:
    """A host about to be asked, and how its name and its addresses were found; `mx` None: the contract names it."""

    host: HostPort
    answer: AddressAnswer
    mx: MxAnswer | None = None

    @property
    def named(self) -> bool:
        """Whether nobody on the way could have put another host in its place."""
        return self.mx is None or self.mx.secure


async def discover(site: Site, outbound: Outbound, destination: Destination, hop: NextHop) -> Findings:
    """All that is published about TLS to this host."""
    if outbound.tls.level is TlsLevel.NONE:
        return Findings()
    signed = site.contract.configuration.server.trust_ad  # else no answer counts: nothing need be asked
    dane = await _dane(site, destination, hop) if signed and outbound.tls.dane != OFF else NOT_ASKED
    sts = await _sts(site, destination, hop) if outbound.tls.mta_sts != OFF else NO_POLICY
    return Findings(dane, sts, mx_secure=hop.mx is not None and hop.mx.secure)


# --- DANE --------------------------------------------------------------------------------------------------------


async def _dane(site: Site, destination: Destination, hop: NextHop) -> DaneFinding:
    """RFC 7672 §2.2.2: the first base domain with records decides; a failed look-up is never taken for a `no`."""
    if is_address(hop.host.host):
        return NOT_ASKED
    bases = await _bases(site, hop)
    if isinstance(bases, DaneFinding):
        return bases
    for base in bases:
        answer = await site.resolver.tlsa(owner(base, hop.host.port))
        if answer.status is DnsStatus.TEMPORARY:
            return DaneFinding(DaneState.UNKNOWN, base, named=hop.named, detail=answer.detail)
        if not (answer.secure and answer.records):
            continue
        selection = select(answer.records)
        state = DaneState.USABLE if selection.usable else DaneState.UNUSABLE
        names = _reference_names(destination, hop, base)
        return DaneFinding(state, base, selection.usable, selection.unusable, names, hop.named)
    return DaneFinding(DaneState.NONE, named=hop.named)


async def _bases(site: Site, hop: NextHop) -> tuple[str, ...] | DaneFinding:
    """The names to look for TLSA records at (RFC 7672 §2.2.2): where a signed alias leads, then the host itself.

    TLSA records of a host without signed addresses are not asked for: many a name server fails such questions.
    """
    host = hop.host.host.lower()
    if hop.answer.secure:
        return (hop.answer.canonical, host) if hop.answer.canonical else (host,)
    if not hop.answer.canonical:
        return DaneFinding(DaneState.INSECURE, named=hop.named)
    alias = await site.resolver.cname(host)
    if alias.status is DnsStatus.TEMPORARY:
        return DaneFinding(DaneState.UNKNOWN, host, named=hop.named, detail=alias.detail)
    # Signed, yet it leads to where nothing is: the alias itself may have records still.
    return (host,) if alias.secure and alias.names else DaneFinding(DaneState.INSECURE, named=hop.named)


def _reference_names(destination: Destination, hop: NextHop, base: str) -> tuple[str, ...]:
    """RFC 7672 §3.2.2: any of these proves the host on a DANE-TA(2) path. Unsigned names prove nothing."""
    names = [base]
    if hop.mx is None:
        names.append(hop.host.host.lower())
    else:
        names.append(destination.name)
        if hop.mx.secure:
            names += [hop.host.host.lower(), hop.mx.canonical]
    return tuple(dict.fromkeys(name for name in names if name))


# --- MTA-STS -----------------------------------------------------------------------------------------------------


async def _sts(site: Site, destination: Destination, hop: NextHop) -> StsFinding:
    if hop.mx is None or destination.kind != "mx":
        return NO_POLICY
    answer = await site.policies.policy(destination.name)
    return about_host(destination.name, answer, hop.host.host, site.contract.configuration.server.mta_sts.ca)
