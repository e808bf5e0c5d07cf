"""Look-ups for one message, with an end: whoever serves names slowly on purpose must not hold a session for long."""

from __future__ import annotations

from mta.ports import AddressAnswer, Clock, DnsStatus, MxAnswer, NamesAnswer, SenderNames, TxtAnswer

PATIENCE = 60.0  # seconds for a message; SPF has 20 of its own (RFC 7208 §4.6.4)


class Patience:
    """ports.SenderNames that asks no more once its time is over: each further answer is TEMPORARY."""

    def __init__(self, names: SenderNames, clock: Clock, seconds: float = PATIENCE) -> None:
        self._names = names
        self._clock = clock
        self._end = clock.monotonic() + seconds
        self._detail = f"the look-ups for this message took more than {seconds:.0f} seconds"

    @property
    def _over(self) -> bool:
        return self._clock.monotonic() >= self._end

    async def txt(self, name: str) -> TxtAnswer:
        """TXT."""
        return TxtAnswer(DnsStatus.TEMPORARY, detail=self._detail) if self._over else await self._names.txt(name)

    async def a(self, host: str) -> AddressAnswer:
        """A."""
        return AddressAnswer(DnsStatus.TEMPORARY, detail=self._detail) if self._over else await self._names.a(host)

    async def aaaa(self, host: str) -> AddressAnswer:
        """AAAA."""
        return AddressAnswer(DnsStatus.TEMPORARY, detail=self._detail) if self._over else await self._names.aaaa(host)

    async def ptr(self, address: str) -> NamesAnswer:
        """PTR."""
        return NamesAnswer(DnsStatus.TEMPORARY, detail=self._detail) if self._over else await self._names.ptr(address)

    async def mx(self, domain: str) -> MxAnswer:
        """MX."""
        return MxAnswer(DnsStatus.TEMPORARY, detail=self._detail) if self._over else await self._names.mx(domain)
