"""What is known of an inbound SMTP session when a decision about it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from mta.model.tls import TlsFacts


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """The peer as far as it has shown itself. `client_ip` is the true one: behind a listed balancer, PROXY's.

    An IPv4-mapped IPv6 address is held as the IPv4 address it means. `address` is `client_ip` as text, which every
    log line, trace and Received field wants.
    """

    client_ip: IPv4Address | IPv6Address
    client_port: int = 0
    local_port: int = 0
    helo: str = ""
    esmtp: bool = False
    tls: TlsFacts | None = None
    session_id: str = ""
    address: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Write the address down."""
        object.__setattr__(self, "address", str(self.client_ip))

    @property
    def client(self) -> object:
        """What counts as one client: an address, of IPv6 the network of 64 bits that every site has at least."""
        return self.client_ip if self.client_ip.version == 4 else int(self.client_ip) >> 64
