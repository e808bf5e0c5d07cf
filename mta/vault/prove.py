"""Who a reader is: they type the address that the notice went to, and the code that was sent there.

A link finds a grant and proves nothing. The code goes to the address of the grant, whatever was typed, and works in the
browser session that asked for it. Whoever has no grant gets the same answers, in the same time: a challenge that no
code solves. Challenges are in this process' memory alone; a restart asks everybody for a new code.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from mta.contract.readers import INTERNAL, is_meant, reader_name
from mta.model.address import ascii_lower
from mta.model.protected import Grant, Item
from mta.policy.pace import Pace
from mta.ports.vault import ItemFilter
from mta.rfc.smtp.address import AddressError
from mta.vault.mail import reference
from mta.vault.sessions import OWN, Proven, Sessions, hashed
from mta.vault.vault import Vault

CODE_LIFE, TRIES, DIGITS = 600.0, 5, 8
MOST_CHALLENGES = 20_000
_MOST_CODES = 3  # of one challenge that are good at the same time
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Code:
    """What is remembered of a code."""

    digest: bytes
    until: float


@dataclass(frozen=True, slots=True)
class Challenge:
    """Somebody is to show that they read the mail of an address. Where there is nobody to prove no code solves it."""

    link: bytes
    address: str
    reference: str  # four letters, on the page, in the notice and in the mail with the code
    until: float
    paced: str  # under what its attempts are counted
    proves: Proven | None = None
    codes: tuple[Code, ...] = ()
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class Letter:
    """A code on its way to the address of a grant."""

    to: str
    code: str
    reference: str
    item: Item | None = None  # none: for the sender's own pages, or for a program
    program: str = ""  # its user code (vault/device.py)


@dataclass(frozen=True, slots=True)
class _Aim:
    """What a challenge is for: its place, and if there is somebody, who they are once they have shown the code."""

    place: bytes
    paced: str
    address: str
    reference: str
    proves: Proven | None = None
    item: Item | None = None
    program: str = ""


@dataclass(frozen=True, slots=True)
class Paces:
    """How often, an hour: each counter has a name of its own."""

    codes_of_link: Pace = field(default_factory=lambda: Pace(5, _HOUR))
    codes_to_address: Pace = field(default_factory=lambda: Pace(30, _HOUR))
    codes_of_network: Pace = field(default_factory=lambda: Pace(60, _HOUR))
    wrong_of_link: Pace = field(default_factory=lambda: Pace(30, _HOUR))
    wrong_of_network: Pace = field(default_factory=lambda: Pace(60, _HOUR))


@dataclass(frozen=True, slots=True)
class Started:
    """A challenge: the value of its cookie, and the code that is to be sent, if there is anybody to send it to."""

    cookie: str
    letter: Letter | None = None


class Proofs(Sessions):
    """The challenges and sessions of one portal."""

    def __init__(self, vault: Vault, paces: Paces | None = None) -> None:
        super().__init__(vault)
        self._paces = paces or Paces()
        self._key = vault.random(32)
        self._challenges: OrderedDict[bytes, Challenge] = OrderedDict()

    # --- the code

    def may_start(self, network: str) -> bool:
        """Whether this network may ask for one more code; counted. It says nothing of links and addresses."""
        return self._paces.codes_of_network.take(network, self._vault.clock.now())

    async def start(self, link: str, typed: str, cookie: str = "") -> Started:
        """Begin, under a fresh cookie. A code that the same browser asked for before stays good.

        Whoever calls must answer before the letter is sent, so that its way takes no time of the answer.
        """
        place = hashed(link)
        grant, item, letters = await self._granted(place, typed)
        address = _known(typed)
        reader = grant.reader if grant and "@" in grant.reader[1:] else address
        proves = Proven(grant.item, grant.id, reader) if grant else None
        return self._begin(_Aim(place, place.hex(), address, letters, proves, item), cookie)

    async def start_owner(self, typed: str, cookie: str = "") -> Started:
        """The same for the sender's own pages: the code goes to an address that has protected something."""
        address = _known(typed)
        found = await self._vault.store.find(ItemFilter(owner=address or "-", limit=1))
        paced = hmac.digest(self._key, b"my " + address.encode("utf-8", "replace"), "sha256").hex()
        proves = Proven(OWN, "", address) if found else None
        return self._begin(_Aim(hashed(OWN), paced, address, reference(paced), proves), cookie)

    async def start_program(self, code: str, typed: str, cookie: str = "") -> Started:
        """The same to let in the program with this user code: for whoever may read anything here, and nobody else."""
        address = _known(typed)
        reader = await self._reads_anything(address)
        letters = reference(hmac.digest(self._key, b"program " + code.encode(), "sha256").hex())
        proves = Proven("", "", reader) if reader else None
        return self._begin(_Aim(hashed(code), hashed(code).hex(), address, letters, proves, program=code), cookie)

    async def _reads_anything(self, address: str) -> str:
        """The address as a grant has it, if there is one; the same look-ups whatever is found."""
        local, _, domain = address.rpartition("@")
        names = [address, f"{ascii_lower(local)}@{domain}", f"@{domain}"]
        found = ""
        for name in [*names, INTERNAL if domain in self._vault.ours else "-"]:
            items = await self._vault.store.find(ItemFilter(reader=name or "-", state="live", limit=1))
            if address and items and not found:
                found = name if "@" in name[1:] else address
        return found

    def _begin(self, aim: _Aim, cookie: str) -> Started:
        """The same steps whether there is somebody or nobody."""
        now = self._now()
        before = self._challenges.pop(hashed(cookie), None)
        fresh = Challenge(aim.place, aim.address, aim.reference, now + CODE_LIFE, aim.paced, aim.proves)
        if before is not None and _goes_on(before, fresh):
            codes = tuple(code for code in before.codes if code.until > now)[1 - _MOST_CODES :]
            fresh = replace(fresh, codes=codes, wrong=before.wrong)
        code, letter = self._code(), None
        address = hashed(aim.proves.reader if aim.proves else aim.address).hex()
        paces = self._paces
        paced = paces.codes_of_link.allows(aim.paced, now) and paces.codes_to_address.take(address, now)
        if paced and paces.codes_of_link.take(aim.paced, now):
            fresh = replace(fresh, codes=(*fresh.codes, Code(self._digest(code), now + CODE_LIFE)))
            if aim.proves is not None:
                letter = Letter(aim.proves.reader, code, aim.reference, aim.item, aim.program)
        value = self._token()
        self._challenges[hashed(value)] = fresh
        while len(self._challenges) > MOST_CHALLENGES:
            self._challenges.popitem(last=False)
        return Started(value, letter)

    def reference(self, link: str, cookie: str) -> str:
        """The four letters of a challenge, or nothing if this browser has none for the link."""
        found = self._challenges.get(hashed(cookie))
        return found.reference if found and found.link == hashed(link) and found.until > self._now() else ""

    def answer(self, link: str, cookie: str, typed: str, network: str) -> Proven | None:
        """Whether the code is right, for this link in this browser. The challenge is over then; five faults end it."""
        now, place = self._now(), hashed(link)
        found = self._challenges.get(hashed(cookie))
        digest = self._digest("".join(character for character in typed[:64] if character.isdigit()))
        codes = found.codes if found else ()
        fits = [code for code in codes if hmac.compare_digest(code.digest, digest) and code.until > now]
        paces, paced = self._paces, found.paced if found else place.hex()
        free = paces.wrong_of_link.allows(paced, now) and paces.wrong_of_network.allows(network, now)
        good = bool(fits) and found is not None and found.link == place and found.wrong < TRIES and free
        if found is not None and good:
            del self._challenges[hashed(cookie)]
            if found.proves is not None:
                return found.proves
        paces.wrong_of_link.take(paced, now)
        paces.wrong_of_network.take(network, now)
        if found is not None and hashed(cookie) in self._challenges:
            self._challenges[hashed(cookie)] = replace(found, wrong=found.wrong + 1)
        return None

    async def vouched_owner(self, address: str, issuer: str) -> Proven | None:
        """A sender who was signed in by an issuer, if they have protected anything."""
        found = await self._vault.store.find(ItemFilter(owner=address, limit=1))
        return Proven(OWN, "", address, first=f"oidc {issuer}") if found else None

    async def vouched(self, link: str, address: str, issuer: str) -> Proven | None:
        """Who was signed in by an issuer, if the link is theirs."""
        grant, _, _ = await self._granted(hashed(link), address)
        reader = address if grant is None or "@" not in grant.reader[1:] else grant.reader
        return Proven(grant.item, grant.id, reader, first=f"oidc {issuer}") if grant else None

    async def _granted(self, place: bytes, typed: str) -> tuple[Grant | None, Item | None, str]:
        """The grant behind a link, if the typed address is one that it means, and four letters for every link.

        The same look-ups whatever is found.
        """
        link = await self._vault.store.link(place)
        item = await self._vault.store.item(link.item if link else "-")
        grants = await self._vault.store.grants(link.item if link else "-")
        address = _known(typed)
        mine = (one for one in grants if link is not None and one.id == link.grant)
        grant = next((one for one in mine if address and self._means(one, address)), None)
        unknown = hmac.digest(self._key, place, "sha256").hex()
        letters = reference(link.item if link else unknown)
        return (grant, item, letters) if grant and item else (None, None, letters)

    def _means(self, grant: Grant, address: str) -> bool:
        """The code goes to the grant's own address, so the case of what was typed does no harm."""
        same = ascii_lower(grant.reader) == ascii_lower(address)
        return same or is_meant(grant.reader, address, self._vault.ours)

    # --- secrets

    def _now(self) -> float:
        return self._vault.clock.now()

    def _token(self) -> str:
        return self._vault.new_id()

    def _code(self) -> str:
        return f"{int.from_bytes(self._vault.random(16), 'big') % 10**DIGITS:0{DIGITS}d}"

    def _digest(self, code: str) -> bytes:
        return hmac.digest(self._key, code.encode(), "sha256")


def _goes_on(before: Challenge, fresh: Challenge) -> bool:
    """Whether it is the same again: after five faults it is another, and its codes are over."""
    return (before.link, before.address) == (fresh.link, fresh.address) and before.wrong < TRIES


def network_of(ip: str) -> str:
    """What counts as one network: 256 addresses of IPv4, a site's /48 of IPv6."""
    try:
        address = ip_address(ip)
    except ValueError:
        return "unknown"
    return str(ip_network(f"{address}/{24 if address.version == 4 else 48}", strict=False))


def _known(typed: str) -> str:
    """An address as readers are kept, or nothing where it is none."""
    try:
        name = reader_name(typed.strip()[:320])
    except AddressError:
        return ""
    return name if "@" in name[1:] else ""
