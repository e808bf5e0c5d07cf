"""The life of a root key: which state may follow which, and what the end of a key demands."""

from __future__ import annotations

from dataclasses import replace

from mta.model.protected import KeyState, RootKey

DELAY = 7 * 86_400.0  # seconds between the wish to destroy a key and its end
MIN_BITS, MAX_BITS = 2048, 4096
EXPONENT = 65_537

# what is asked for -> the states from which it may be asked -> the state that follows
MOVES = {
    "activate": ({KeyState.ARCHIVED}, KeyState.ACTIVE),
    "archive": ({KeyState.ACTIVE}, KeyState.ARCHIVED),
    "hold": ({KeyState.ACTIVE, KeyState.ARCHIVED}, KeyState.HELD),
    "release": ({KeyState.HELD}, KeyState.ARCHIVED),
    "destroy": ({KeyState.HELD}, KeyState.DESTROYED),
}


class Refused(Exception):
    """A key may not become what was asked for; the text says why and what to do first."""


def move(key: RootKey, wish: str, now: float, by: str) -> RootKey:
    """The key after this wish of `by` at `now`. Raises Refused.

    A key is destroyed in two steps by two persons: the first asks for it, the second confirms when the delay is over.
    """
    sources, target = MOVES[wish]
    if key.state not in sources:
        allowed = " or ".join(sorted(sources))
        raise Refused(f"the root key {key.id} is {key.state}; `{wish}` needs one that is {allowed}")
    if wish == "destroy":
        return _destroy(key, now, by)
    return replace(key, state=target, changed=now, destroy_after=0.0, asked_by="")


def _destroy(key: RootKey, now: float, by: str) -> RootKey:
    if not key.destroy_after:
        return replace(key, destroy_after=now + DELAY, asked_by=by)
    if by == key.asked_by:
        raise Refused(f"{by} asked for the end of {key.id}; a second person must confirm it")
    if now < key.destroy_after:
        days = (key.destroy_after - now) / 86_400
        raise Refused(f"the root key {key.id} can be destroyed in {days:.1f} days; `release` takes the wish back")
    return replace(key, state=KeyState.DESTROYED, changed=now)
