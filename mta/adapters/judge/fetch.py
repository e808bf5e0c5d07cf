"""Fetches revocation lists and OCSP answers over HTTP, within bounds: hosts, addresses, size, time, no redirects.

URLs come out of certificates, that is from strangers. Only `http:` is followed (what comes is signed, and a certificate
needed to check the server's could need checking itself). Without a host on the list only public addresses are asked.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mta.model.public_address import is_public
from mta.ports import DnsStatus, Resolver

if TYPE_CHECKING:
    import aiohttp

LARGEST = 16 << 20  # octets of one answer
MOST_OCTETS = 128 << 20  # of all that are kept, as they were read
FAILURE_KEPT = 60.0  # seconds
AT_ONCE = 8


class FetchFailed(Exception):
    """Nothing usable came. `allowed` is False where nobody was asked."""

    def __init__(self, text: str, *, allowed: bool = True) -> None:
        super().__init__(text)
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """`hosts` are `host`, `*.x` or either with `:port`; `public` allows every public address at port 80, too."""

    hosts: tuple[str, ...] = ()
    public: bool = True
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read out of an answer: how many octets of memory it takes, for how many seconds it may be kept."""

    value: object
    octets: int
    keep: float


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: Answer | None  # None: it failed
    until: float  # monotonic
    fault: str = ""

    @property
    def octets(self) -> int:
        return self.answer.octets if self.answer else 0


class Fetcher:
    """One per worker. `names` gives the resolver in force."""

    def __init__(self, settings: FetchSettings, names: Callable[[], Resolver]) -> None:
        self._settings = settings
        self._names = names
        self._session: aiohttp.ClientSession | None = None
        self._kept: OrderedDict[tuple[str, bytes], _Kept] = OrderedDict()
        self._octets = 0
        self._under_way: dict[tuple[str, bytes], asyncio.Task[_Kept]] = {}
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def fetch(self, url: str, body: bytes = b"", *, read: Callable[[bytes], Answer]) -> object:
        """The `value` of what is at `url`, by GET, or by POST of an OCSP request.

        `read` is called once, in a thread: a large list takes a while. It raises ValueError for an answer that is none.
        Raises FetchFailed.
        """
        target = self._place(url)
        key = (url, body)
        kept = self._kept.get(key)
        if kept is None or kept.until < time.monotonic():
            task = self._under_way.get(key)
            if task is None:
                task = self._under_way[key] = asyncio.ensure_future(self._get(target, url, body, read))
                task.add_done_callback(partial(self._done, key))
            kept = await asyncio.shield(task)
        if kept.answer is None:
            raise FetchFailed(kept.fault)
        return kept.answer.value

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()

    # --- what may be asked

    def _place(self, url: str) -> tuple[str, int, bool]:
        """Host, port and whether the host is on the list. Raises FetchFailed."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower().removesuffix("."), parts.port or 80
        except ValueError:
            raise FetchFailed(f"{url[:200]} is no URL", allowed=False) from None
        if parts.scheme.lower() != "http" or not host or parts.username is not None:
            raise FetchFailed(f"{url[:200]}: only plain http: is followed", allowed=False)
        if listed(self._settings.hosts, host, port):
            return host, port, True
        if not self._settings.public or port != 80:
            raise FetchFailed(f"{host}:{port} is not on the list of hosts (directory.trust.fetch)", allowed=False)
        return host, port, False

    async def _address(self, host: str, is_listed: bool) -> str:
        addresses = (host,) if _is_literal(host) else await self._look_up(host)
        usable = [address for address in addresses if is_listed or is_public(address)]
        if not usable:
            raise FetchFailed(f"{host} has no public address: it is not asked", allowed=False)
        return min(usable, key=lambda address: ":" in address)  # IPv4 first: no second try is made

    async def _look_up(self, host: str) -> tuple[str, ...]:
        answer = await self._names().addresses(host)
        if answer.status is not DnsStatus.OK:
            raise FetchFailed(f"{host} has no address: {answer.detail or answer.status.value}")
        return answer.addresses

    # --- the request

    async def _get(
        self, target: tuple[str, int, bool], url: str, body: bytes, read: Callable[[bytes], Answer]
    ) -> _Kept:
        import aiohttp

        now = time.monotonic()
        try:
            async with self._gate:
                came = await asyncio.wait_for(self._ask(target, url, body), self._settings.timeout)
                answer = await asyncio.to_thread(read, came)
            return _Kept(answer, now + answer.keep)
        except TimeoutError:
            fault = f"{url}: no answer within {self._settings.timeout:g} s"
        except (FetchFailed, ValueError) as error:
            fault = f"{url}: {error}"
        except (aiohttp.ClientError, OSError) as error:
            fault = f"{url}: {error or type(error).__name__}"
        return _Kept(None, now + FAILURE_KEPT, fault)

    async def _ask(self, place: tuple[str, int, bool], url: str, body: bytes) -> bytes:
        """One request to an address that was looked at; the name is in the Host field alone."""
        from yarl import URL

        host, port, is_listed = place
        address = await self._address(host, is_listed)
        target = URL(url).with_host(address)
        name = f"[{host}]" if ":" in host else host
        headers = {"Host": name if port == 80 else f"{name}:{port}", "Accept-Encoding": "identity"}
        if body:
            headers["Content-Type"] = "application/ocsp-request"  # RFC 6960 §A.1
        method = "POST" if body else "GET"
        session = self._open()
        async with session.request(
            method, target, data=body or None, headers=headers, allow_redirects=False
        ) as response:
            if response.status != 200:
                raise FetchFailed(f"HTTP status {response.status}")
            return await _read(response)

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                trust_env=False,  # no proxy of the environment stands between
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a small answer stays small
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout),
            )
        return self._session

    def _done(self, key: tuple[str, bytes], task: asyncio.Task[_Kept]) -> None:
        self._under_way.pop(key, None)
        if task.cancelled() or task.exception() is not None:
            return
        before = self._kept.pop(key, None)
        self._kept[key] = task.result()
        self._octets += task.result().octets - (before.octets if before else 0)
        while self._octets > MOST_OCTETS or len(self._kept) > 10_000:
            self._octets -= self._kept.popitem(last=False)[1].octets


async def _read(response: aiohttp.ClientResponse) -> bytes:
    whole = bytearray()
    async for piece in response.content.iter_chunked(65_536):
        whole += piece
        if len(whole) > LARGEST:
            raise FetchFailed(f"it is larger than {LARGEST >> 20} MiB")
    return bytes(whole)


def listed(hosts: tuple[str, ...], host: str, port: int) -> bool:
    """Whether a host of the list is meant; one without a port stands for port 80."""
    return any(
        port == wanted and (host == name or (name.startswith("*.") and host.endswith(name[1:])))
        for name, wanted in map(_split, hosts)
    )


def _split(entry: str) -> tuple[str, int]:
    """`host`, `host:port`, `[v6]:port` or a bare IPv6 address, taken apart."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, int(rest.removeprefix(":") or 80)
    name, _, port = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    return name, int(port or 80)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
