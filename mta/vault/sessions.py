"""Sessions of browsers: what each has proved, for how long. In this process' memory; names are 128 random bits."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field, replace

from mta.vault.vault import Vault

IDLE, LIFE = 1800.0, 28_800.0  # seconds of a session
MOST_SESSIONS = 20_000
OWN = "my"  # in the place of an item: the sender's own pages
_MOST_ITEMS = 50  # of one session


@dataclass(frozen=True, slots=True)
class Proven:
    """One reader of one item, for as long as the session lasts. `opened`: they have asked to see it."""

    item: str
    grant: str
    reader: str
    opened: bool = False
    channels: tuple[str, ...] = ()  # second channels that were proved
    waits: bool = False  # for a second channel: until then nothing is shown
    first: str = "code"  # how the address was proved

    @property
    def method(self) -> str:
        """How they have proved who they are, for the log."""
        return "+".join((self.first, *self.channels))


@dataclass(slots=True)
class Session:
    """What a browser has proved."""

    begun: float
    seen: float
    items: dict[str, Proven] = field(default_factory=dict)


class Sessions:
    """The sessions of one portal."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def log_in(self, proven: Proven, cookie: str = "") -> str:
        """A session under a fresh name; what this browser had proved before goes along, its old name is over."""
        now = self._vault.clock.now()
        before = self._session(cookie)
        self._sessions.pop(hashed(cookie), None)
        items = dict(before.items) if before else {}
        items.pop(proven.item, None)
        while len(items) >= _MOST_ITEMS:
            del items[next(iter(items))]
        value = self._vault.new_id()
        begun = before.begun if before else now
        self._sessions[hashed(value)] = Session(begun, now, {**items, proven.item: proven})
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return value

    def proven(self, item: str, cookie: str) -> Proven | None:
        """Who this browser has proved to be for an item; the session goes on."""
        session = self._session(cookie)
        if session is None or item not in session.items:
            return None
        session.seen = self._vault.clock.now()
        return session.items[item]

    def opened(self, item: str, cookie: str) -> None:
        """They have asked to see it."""
        session = self._session(cookie)
        if session is not None and item in session.items:
            session.items[item] = replace(session.items[item], opened=True)

    def log_out(self, cookie: str) -> None:
        """The session is over, here and not in the browser alone."""
        self._sessions.pop(hashed(cookie), None)

    def _session(self, cookie: str) -> Session | None:
        place, now = hashed(cookie), self._vault.clock.now()
        found = self._sessions.get(place)
        if found is not None and not (now - found.seen < IDLE and now - found.begun < LIFE):
            del self._sessions[place]
            return None
        return found


def hashed(text: str) -> bytes:
    """Under what a secret of a browser is known."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
