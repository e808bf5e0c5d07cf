"""A month of mail with one partner, counted from the history: what an auditor asks, and every exception by its id.

On the way out a *recipient* is counted whom the next hop took, or the portal; on the way in a *message*. Nothing is
counted that the history does not tell: what it does not tell stands among the exceptions.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mta.model.evidence.attempt import Attempt
from mta.model.evidence.delivery import Delivery
from mta.model.evidence.message import Accepted
from mta.model.evidence.smime import Protection
from mta.model.tls import TlsFacts
from mta.policy.recorded import handed_on

CLEAR = "none"
PORTAL = "portal"
UNKNOWN = "unknown"
SOON = 14  # days left of a certificate that are worth a line
_ENDED = {"failed": "returned to the sender", "expired": "given up", "deleted": "deleted by a person"}
_OPEN = {"queued": "still waits", "held": "held for a person"}


@dataclass(frozen=True, slots=True)
class Remark:
    """Something of one message that a person should have seen. `at` in epoch seconds."""

    at: float
    message: str
    direction: str
    what: str

    def document(self) -> dict[str, object]:
        """As JSON types."""
        return {"time": round(self.at, 3), "id": self.message, "direction": self.direction, "what": self.what}


@dataclass(slots=True)
class Certificate:
    """One that the partner showed: how often, and the fewest days it had left then (None: not kept)."""

    subject: str
    count: int = 0
    days_left: int | None = None


@dataclass(slots=True)
class Way:
    """One direction. Each table adds up to `count`, but for `certificates`, `published` and `smime`."""

    count: int = 0
    level: Counter[str] = field(default_factory=Counter)
    version: Counter[str] = field(default_factory=Counter)
    group: Counter[str] = field(default_factory=Counter)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    published: Counter[str] = field(default_factory=Counter)
    authentication: Counter[str] = field(default_factory=Counter)
    smime: Counter[str] = field(default_factory=Counter)

    def took(self, level: str, tls: TlsFacts | None, days_left: int | None) -> None:
        """One more, over this connection."""
        self.count += 1
        self.level[level] += 1
        self.version[tls.version if tls else "none"] += 1
        self.group[(tls.group or "not told") if tls else "none"] += 1
        if tls is None or tls.leaf is None:
            return
        shown = self.certificates.setdefault(tls.leaf.sha256, Certificate(tls.leaf.subject))
        shown.count += 1
        if days_left is not None:
            shown.days_left = days_left if shown.days_left is None else min(shown.days_left, days_left)

    def document(self) -> dict[str, object]:
        """As JSON types."""
        tables = ("level", "version", "group", "published", "authentication", "smime")
        return {
            "count": self.count,
            "in_clear": self.level[CLEAR],
            **{name: dict(sorted(getattr(self, name).items())) for name in tables},
            "certificates": [
                {"sha256": digest, "subject": each.subject, "count": each.count, "days_left": each.days_left}
                for digest, each in sorted(self.certificates.items(), key=lambda item: (-item[1].count, item[0]))
            ],
        }


class Month:
    """The counts of one connector; fed with documents of `mta trace --json`, in any order, each message once."""

    def __init__(self, connector: str) -> None:
        self.connector = connector
        self.inbound, self.outbound = Way(), Way()
        self.exceptions: list[Remark] = []
        self._seen: list[str] = []

    def add(self, message: Mapping[str, Any]) -> None:
        """Count one message, if it concerns the connector."""
        ours = [told for told in message["recipients"] if told["connector"] == self.connector]
        if message["inbound"] == self.connector:
            self._came(message)
        for told in ours:
            self._went(message, told)
        if ours or message["inbound"] == self.connector:
            states = ",".join(f"{told['address']}={told['state']}" for told in ours)
            self._seen.append(f"{message['id']} {message['received']} {message['inbound']} {states}")

    def document(self) -> dict[str, object]:
        """The page, with the digest of what was counted: the same messages in the same states give the same one."""
        counted = "\n".join(sorted(self._seen)).encode()
        clear = self.inbound.level[CLEAR] + self.outbound.level[CLEAR]
        return {
            "connector": self.connector,
            "inbound": self.inbound.document(),
            "outbound": self.outbound.document(),
            "in_clear": clear,
            "exceptions": [
                each.document() for each in sorted(self.exceptions, key=lambda each: (each.at, each.message))
            ],
            "messages": len(self._seen),
            "sha256": hashlib.sha256(counted).hexdigest(),
        }

    # --- in

    def _came(self, message: Mapping[str, Any]) -> None:
        accepted, at = Accepted.from_json(message["accepted"]), float(message["received"])
        shown = accepted.tls is not None and accepted.tls.leaf is not None
        level = CLEAR if accepted.tls is None else "certificate" if shown and accepted.proven else "encrypted"
        self.inbound.took(level, accepted.tls, accepted.days_left)
        judged = accepted.authentication
        dmarc = judged.facts.dmarc.result.value if judged and judged.facts.dmarc else "not asked"
        self.inbound.authentication[f"dmarc={dmarc}"] += 1
        self.inbound.smime.update(set(_opened(message["events"])))
        if accepted.tls is None:
            self._except(at, message, "inbound", f"came in clear from {accepted.client or 'an unknown address'}")
        if accepted.would:
            self._except(at, message, "inbound", f"enforced, it would have been: {accepted.would.decision}")
        self._ends_soon(at, message, "inbound", accepted.days_left)

    # --- out

    def _went(self, message: Mapping[str, Any], told: Mapping[str, Any]) -> None:
        state, address = str(told["state"]), str(told["address"])
        for at, word in _asides(address, message["events"]):
            self._except(at, message, "outbound", f"{address}: {word}")
        if state in _ENDED or state in _OPEN:
            words = _ENDED.get(state) or _OPEN[state]
            reason = f": {told['reason']}" if told["reason"] else ""
            self._except(float(message["received"]), message, "outbound", f"{address}: {words}{reason}")
            return
        found = handed_on(address, message["events"])
        if found is None:
            self.outbound.took(UNKNOWN, None, None)
            self._except(
                float(message["received"]), message, "outbound", f"{address}: how it left is not in the history"
            )
            return
        self._left(message, address, *found)

    def _left(
        self, message: Mapping[str, object], address: str, at: float, delivery: Delivery, host: Attempt | None
    ) -> None:
        done = [Protection.from_json(each) for each in delivery.protection if address in _whom(each)]
        for each in done:
            words = (
                "signed" if each.signed else "",
                "encrypted" if each.encrypted else "",
                PORTAL if each.item else "",
            )
            self.outbound.smime.update(word for word in words if word)
        if any(each.item for each in done):
            self.outbound.took(PORTAL, None, None)
            return
        if host is None:
            self.outbound.took(UNKNOWN, None, None)
            self._except(at, message, "outbound", f"{address}: which host took it is not in the history")
            return
        level = reached(host)
        self.outbound.took(level, host.tls, host.days_left)
        if host.published is not None:
            dane, sts = host.published.dane, host.published.sts
            self.outbound.published[f"dane={dane.state if dane else 'not asked'}"] += 1
            self.outbound.published[f"mta-sts={sts.state if sts else 'not asked'}"] += 1
        if level == CLEAR:
            self._except(at, message, "outbound", f"{address}: left in clear to {host.host}")
        if host.would:
            self._except(at, message, "outbound", f"{address}: enforced, it would have waited: {host.would}")
        self._ends_soon(at, message, "outbound", host.days_left)

    # --- both

    def _ends_soon(self, at: float, message: Mapping[str, object], direction: str, days_left: int | None) -> None:
        if days_left is not None and days_left < SOON:
            self._except(at, message, direction, f"the certificate shown had {days_left} days left")

    def _except(self, at: float, message: Mapping[str, object], direction: str, what: str) -> None:
        self.exceptions.append(Remark(at, str(message["id"]), direction, what))


def reached(host: Attempt) -> str:
    """The level that the handshake came to: a word of connectors.yaml."""
    if host.tls is None:
        return CLEAR
    found = host.verdict.removeprefix("tls=").partition("!")[0].partition(":")[0]
    return found or UNKNOWN


def _asides(address: str, history: list[Any]) -> Iterator[tuple[float, str]]:
    """What a person did on the way."""
    words = {"message.held": "was held", "message.released": "was released by a person"}
    for event in history:
        if event["event"] in words and address in event["recipients"]:
            yield float(event["time"]), words[event["event"]]


def _opened(history: list[Any]) -> Iterator[str]:
    """What S/MIME of others was found in it, and whether it was decrypted for its recipients."""
    for event in history:
        for each in map(Protection.from_json, Delivery.from_json(event).protection):
            if each.opened is not None:
                yield f"signature {each.opened.result.value}"
                yield from ("decrypted",) if each.decrypted else ()


def _whom(protection: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, protection.get("to", ())))
