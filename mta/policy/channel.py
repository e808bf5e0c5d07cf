"""Second channels: what a label wants besides the proof that somebody reads a mailbox, and what a reader has for it.

| label says | before the message opens                                                                        |
|------------|-------------------------------------------------------------------------------------------------|
| none       | nothing                                                                                         |
| offered    | one of the label's channels, if the reader has set one up, or a phrase was agreed with the sender |
| demanded   | one of the label's channels; who has none yet sets one up, if the label names one that can be   |
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mta.contract.protection import Label
from mta.model.attempt import Failure, Scope
from mta.model.reply import Reply
from mta.model.word import Word

NONE, OFFERED, DEMANDED = "none", "offered", "demanded"


class Channel(StrEnum):
    """How a reader proves once more who they are."""

    PASSKEY = "passkey"  # WebAuthn; needs script
    TOTP = "totp"  # an authenticator app
    SMS = "sms"  # to a number that we know, never to one that a reader types
    PHRASE = "phrase"  # agreed with the sender


OWN = frozenset({Channel.PASSKEY, Channel.TOTP})  # a reader sets them up


@dataclass(frozen=True, slots=True)
class Step:
    """What comes after the first proof. `ask`: nothing opens before one of `ways`; `enrol` may be set up now."""

    ask: bool = False
    ways: tuple[Channel, ...] = ()
    enrol: tuple[Channel, ...] = ()


def next_step(label: Label | None, ready: Collection[Channel], proved: Collection[str]) -> Step:
    """What a reader does next. `ready`: what they have (set up, or a number or phrase that we know)."""
    if label is None or label.second_channel == NONE:
        return Step()
    channels = tuple(Channel(word) for word in label.channels)
    ways = tuple(channel for channel in channels if channel in ready)
    done = any(channel in proved for channel in channels)
    wanted = label.second_channel == DEMANDED or any(way in OWN or way == Channel.PHRASE for way in ways)
    # Somebody else at the mailbox must not add a channel of theirs beside the reader's.
    may_enrol = done or not ways or (label.second_channel == OFFERED and not wanted)
    fresh = tuple(channel for channel in channels if channel in OWN and channel not in ready) if may_enrol else ()
    return Step(wanted and not done, ways, fresh)


def is_enough(label: Label | None, proved: Iterable[str]) -> bool:
    """Whether what was proved besides the mailbox is what the label demands."""
    if label is None or label.second_channel != DEMANDED:
        return True
    return any(word in label.channels for word in proved)


def known_channels(reader: str, numbers: Mapping[str, str], phrase: str) -> frozenset[Channel]:
    """What we have for a reader before they have come."""
    number = {Channel.SMS} if reader in numbers else set()
    return frozenset(number | ({Channel.PHRASE} if phrase.strip() else set()))


def without_channel(label: Label, reader: str, channels: Collection[Channel]) -> Failure | None:
    """Why a recipient could never open what this label demands: it is held until somebody has given what is missing.

    `channels`: of number and phrase, what we have for this reader. Apps and passkeys are set up by readers themselves.
    """
    if label.second_channel != DEMANDED or any(word in OWN or word in channels for word in label.channels):
        return None
    lacking = " and ".join("telephone number" if word == Channel.SMS else "phrase" for word in label.channels)
    story = f"the label {label.id} demands {' or '.join(label.channels)}, and there is no {lacking} for {reader}"
    reply = Reply(450, "4.7.1", ("Held: a second proof of the reader is demanded, and there is no way for it",))
    return Failure(Scope.CONTRACT, Word.PROTECT_CHANNEL, story, reply, permanent=False, local=True)
