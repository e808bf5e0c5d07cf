"""Programs that a reader lets in from a browser (device authorisation, RFC 8628): who asked, and what was decided.

A program gets a device code, which it keeps, and a user code, which it shows. The reader types the user code and their
address into our page, then the code that came by mail, and allows or refuses. Only then does the device code give an
access token, once, to the key that asked for it (DPoP). All of it is in this process' memory: after a restart the
program asks again.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass, field, replace

from mta.model.protected import Actor, VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.policy.pace import Pace
from mta.vault.vault import Vault

LIFE, INTERVAL, SLOWER = 600.0, 3.0, 5.0  # seconds; RFC 8628 §3.5: slow_down adds five
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628 §6.1: no words, no letters that look alike
_LENGTH = 8
_MOST = 5_000
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Device:
    """A program that waits. `thumbprint` is that of its key (RFC 7638); `address` is proven, empty until allowed."""

    user_code: str
    thumbprint: str
    client: str
    actor: Actor  # whence it asked; nobody is proven by that
    begun: float
    polled: float = 0.0
    interval: float = INTERVAL
    address: str = ""
    refused: bool = False

    @property
    def shown(self) -> str:
        """The user code as people read it."""
        return shown(self.user_code)


@dataclass(frozen=True, slots=True)
class Polled:
    """What a program hears: a word of RFC 8628 §3.5, or whose token it gets."""

    word: str = ""
    address: str = ""
    client: str = ""


@dataclass(frozen=True, slots=True)
class DevicePaces:
    """How often, an hour: from one network."""

    begun: Pace = field(default_factory=lambda: Pace(60, _HOUR))
    wrong: Pace = field(default_factory=lambda: Pace(30, _HOUR))


class Devices:
    """The programs that wait at one portal."""

    def __init__(self, vault: Vault, paces: DevicePaces | None = None) -> None:
        self._vault = vault
        self._paces = paces or DevicePaces()
        self._waiting: OrderedDict[bytes, Device] = OrderedDict()  # by the SHA-256 of the device code
        self._codes: dict[str, bytes] = {}

    def begin(self, client: str, thumbprint: str, actor: Actor, network: str) -> tuple[str, Device] | None:
        """A device code and what waits for it; None: too many from this network."""
        now = self._vault.clock.now()
        if not self._paces.begun.take(network, now):
            return None
        code, device = self._vault.new_id(), Device(self._user_code(), thumbprint, client, actor, now)
        self._waiting[_hash(code)] = device
        self._codes[device.user_code] = _hash(code)
        while len(self._waiting) > _MOST or self._is_over(next(iter(self._waiting.values()))):
            _, oldest = self._waiting.popitem(last=False)
            self._codes.pop(oldest.user_code, None)
        return code, device

    def find(self, typed: str, network: str) -> Device | None:
        """The undecided program with this user code, however it was typed; guesses of one network come to an end."""
        now, code = self._vault.clock.now(), user_code(typed)
        if not self._paces.wrong.allows(network, now):
            return None
        place = self._codes.get(code)
        device = self._waiting.get(place) if place else None
        if device is None or self._is_over(device) or device.address or device.refused:
            self._paces.wrong.take(network, now)
            return None
        return device

    async def decide(self, device: Device, address: str, allowed: bool, actor: Actor) -> None:
        """The reader of a proven address lets it in, or not. Written down before it counts. Raises StorageError."""
        detail = {"program": device.client[:100], "program_ip": device.actor.ip, "program_ua": device.actor.agent}
        result = Result.PERMITTED if allowed else Result.REFUSED
        await self._vault.store.record(
            VaultEvent(self._vault.clock.now(), Operation.DEVICE, actor, result, detail=detail)
        )
        place = self._codes.get(device.user_code)
        found = self._waiting.get(place) if place else None
        if place and found and not (found.address or found.refused):
            self._waiting[place] = replace(found, address=address if allowed else "", refused=not allowed)

    def poll(self, code: str, thumbprint: str) -> Polled:
        """What the program hears that holds the key of `thumbprint`. A token is given once."""
        now, place = self._vault.clock.now(), _hash(code)
        device = self._waiting.get(place)
        if device is None or not hmac.compare_digest(device.thumbprint, thumbprint):
            return Polled("invalid_grant")
        if self._is_over(device):
            self._forget(place)
            return Polled("expired_token")
        if device.refused:
            self._forget(place)
            return Polled("access_denied")
        if device.address:
            self._forget(place)
            return Polled(address=device.address, client=device.client)
        early = bool(device.polled) and now - device.polled < device.interval
        interval = device.interval + (SLOWER if early else 0.0)
        self._waiting[place] = replace(device, polled=now, interval=interval)
        return Polled("slow_down" if early else "authorization_pending")

    def _forget(self, place: bytes) -> None:
        self._codes.pop(self._waiting.pop(place).user_code, None)

    def _is_over(self, device: Device) -> bool:
        return not 0 <= self._vault.clock.now() - device.begun < LIFE

    def _user_code(self) -> str:
        """Twenty letters to the eighth: with the paces above nobody meets one by chance."""
        while True:
            number, code = int.from_bytes(self._vault.random(16), "big"), ""
            for _ in range(_LENGTH):
                number, place = divmod(number, len(ALPHABET))
                code += ALPHABET[place]
            if code not in self._codes:
                return code


def shown(code: str) -> str:
    """A user code in two halves."""
    return f"{code[:4]}-{code[4:]}"


def user_code(typed: str) -> str:
    """What was meant: RFC 8628 §6.1 has dashes, blanks and case forgiven."""
    return "".join(letter for letter in typed[:64].upper() if letter in ALPHABET)


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "replace")).digest()
