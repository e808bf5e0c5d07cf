"""Who is told what after an attempt: RFC 3461 for the sender, and the postmaster where there is no sender.

Pure: it decides and fills the report; the bytes are `mta.rfc.dsn.compose.compose`'s, the queueing is the pipeline's.

    became of a recipient    the sender hears             unless
    ---------------------    -------------------------    -------------------------------------------------
    failed, expired          a failure, with the reason   NOTIFY leaves FAILURE out
    queued, warning due      a delay, once                NOTIFY leaves DELAY out
    delivered                "relayed", if asked for      the next hop took over the duty to report
    held                     nothing: a person will act   -

Recipients of one attempt that share a kind share one notice. A message with the null sender is never answered: its
failure goes to our postmaster once, and if it was for the postmaster itself, the story ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from mta.contract.configuration import Configuration
from mta.contract.connectors import Connector
from mta.contract.server import Server
from mta.model.address import Mailbox
from mta.model.attempt import DeliveryResult, HostAttempt, RecipientResult
from mta.model.envelope import Envelope, Recipient
from mta.model.frozen import frozen
from mta.model.lifecycle import DELIVERED, EXPIRED, FAILED, QUEUED, RELAYED
from mta.model.message import QueuedMessage
from mta.model.reply import Reply
from mta.policy.settle import explain, in_words, lifetime_of, peer_of, said_by_peer
from mta.ports import RecipientFate
from mta.rfc.dsn import compose as dsn
from mta.rfc.dsn.compose import FULL, HEADERS, NOTHING, ReportedRecipient, StatusReport
from mta.rfc.smtp.address import parse_mailbox

_TIME_IS_UP = "4.4.7"  # RFC 3463 §3.5: delivery time expired
_NAMES_TOLD = 5
RETURN_LIMIT = 51_200  # octets: of a larger message only the header goes back


class Kind:
    """What a notice is about; also the word in the trace."""

    FAILURE = "failure"
    DELAY = "delay"
    RELAYED = "relayed"
    DOUBLE_BOUNCE = "double-bounce"


_LOST = (FAILED, EXPIRED)

_ACTIONS = {
    Kind.FAILURE: dsn.FAILED,
    Kind.DOUBLE_BOUNCE: dsn.FAILED,
    Kind.DELAY: dsn.DELAYED,
    Kind.RELAYED: dsn.RELAYED,
}

_SUBJECTS = {
    Kind.FAILURE: "Your message could not be delivered",
    Kind.DELAY: "Your message is delayed",
    Kind.RELAYED: "Your message was handed on",
    Kind.DOUBLE_BOUNCE: "A message without a sender could not be delivered",
}

_INTRODUCTIONS = {
    Kind.FAILURE: "This is the mail system at {host}. Your message could not be delivered to the recipients below. "
    "No further attempt will be made for them. The reason stands below each address.",
    Kind.DELAY: "This is the mail system at {host}. Your message has not yet been delivered to the recipients below. "
    "You need not send it again: it will be tried for {lifetime} in all.",
    Kind.RELAYED: "This is the mail system at {host}. Your message was handed on for the recipients below to a mail "
    "system that does not send delivery reports. You will hear nothing further unless a system beyond reports it.",
    Kind.DOUBLE_BOUNCE: "This is the mail system at {host}. A message with the null sender, probably a delivery report "
    "itself, could not be delivered to the recipients below. It cannot be returned to anyone, so it is told to you.",
}

# (beginning of the enhanced status code, what the sender can do), the first that fits counts.
_ADVICE = (
    ("5.1.", "Check the address for a typing error and send the message again, or reach the recipient another way."),
    ("5.2.2", "The mailbox is full. Ask the recipient to make room, then send the message again."),
    ("5.2.3", "Send a smaller message, for example with the attachments left out."),
    ("5.2.", "Ask the recipient, by another way, whether the mailbox is in use."),
    ("5.3.4", "Send a smaller message, for example with the attachments left out."),
    ("4.4.7", "The other mail system could not be reached or did not take the message in time. Send it again later, or "
     "ask your postmaster to look at the reason above."),
    ("5.4.", "Check the part of the address after the @; if it is right, that domain takes no mail at present."),
    ("5.6.", "The message has a form the other system does not take. Ask your postmaster for help."),
    ("5.7.", "A rule of one of the two mail systems forbids this delivery. Give this report to your postmaster, or to "
     "the recipient's."),
    ("5.", "Give this report to your postmaster, or to the recipient's."),
    ("4.", "Nothing: it will be tried again by itself."),
)  # fmt: skip


@frozen
class Occasion:
    """What there is to report on: a message, its settled fates and the attempt they come from, at epoch second `now`.

    `return_content` bounds what may be returned: `full`, `headers` or `none` (for content that must not travel back
    in the clear).
    """

    message: QueuedMessage
    fates: tuple[RecipientFate, ...]
    result: DeliveryResult
    now: float
    return_content: str = FULL


@dataclass(frozen=True, slots=True)
class Notice:
    """One notification to be composed and queued; `indices` are the recipients of the original it speaks of.

    `report.returned` says which part of the original `compose` needs.
    """

    id: str
    kind: str
    to: Mailbox
    indices: tuple[int, ...]
    report: StatusReport
    tls: str = ""  # of the original, where it demands TLS

    def envelope(self, raw: bytes) -> Envelope:
        """The envelope for the composed bytes `raw`."""
        # RFC 3461 §6.1: a DSN has the null reverse-path, goes to the sender of the original, and has no RET.
        # RFC 8689 §5: it is protected like the original.
        return Envelope(
            None,
            (Recipient(self.to),),
            body="7BIT" if raw.isascii() else "8BITMIME",
            smtputf8=self.report.smtputf8,
            tls=self.tls,
        )


def may_return(
    configuration: Configuration,
    message: QueuedMessage,
    fates: Iterable[RecipientFate],
    tried: Connector,
    back: Connector,
) -> str:
    """How much of a message may travel back: no more than leaves in clear, and nothing of it by a laxer way.

    Both the connector that the attempt went by (`tried`) and the one a recipient was given on arrival have a say; what
    one that vanished meanwhile demanded nobody knows any more. `back` is the connector that the notice leaves by: the
    text of mail that has to leave over TLS of some level returns over TLS of that level, or not at all.
    """
    names = {state.index: state.connector for state in message.states}
    given = [configuration.connectors.get(names.get(fate.index, "")) for fate in fates]
    bound = FULL
    for connector in (tried, *given):
        if connector is None:
            return NOTHING
        if connector.outbound.tls.floor > back.outbound.tls.floor:
            bound = HEADERS
        if connector.outbound.smime.encrypt != "required":
            continue
        if connector.outbound.smime.header_protection == "confidential":
            return NOTHING
        bound = HEADERS
    return bound


def addressee(message: QueuedMessage, server: Server) -> Mailbox:
    """Who hears of a message: its sender; our postmaster where it has none."""
    return message.envelope.sender or postmaster_of(server)


def notices(occasion: Occasion, server: Server, new_id: Callable[[], str]) -> tuple[Notice, ...]:
    """Everything that is to be sent after one settlement; `new_id` gives a fresh queue id for each."""
    kinds: dict[str, list[RecipientFate]] = {}
    for fate in occasion.fates:
        if kind := _kind(occasion, fate, server):
            kinds.setdefault(kind, []).append(fate)
    return tuple(_notice(occasion, kind, tuple(fates), server, new_id()) for kind, fates in kinds.items())


def _kind(occasion: Occasion, fate: RecipientFate, server: Server) -> str:
    """What is to be told of one fate; empty: nothing."""
    recipient = occasion.message.envelope.recipients[fate.index]
    if occasion.message.envelope.sender is None:
        # RFC 5321 §4.5.5: nothing is ever sent in answer to the null reverse-path.
        unreported = fate.state in _LOST and not _is_postmaster(recipient.mailbox, server)
        return Kind.DOUBLE_BOUNCE if unreported else ""
    if fate.state in _LOST:
        return Kind.FAILURE if recipient.wants("FAILURE") else ""
    if fate.state == QUEUED:
        return Kind.DELAY if fate.warned and recipient.wants("DELAY") else ""
    outcome = _outcome(occasion.result, fate.index)
    if fate.state in (DELIVERED, RELAYED) and not (outcome and outcome.dsn_passed):
        # RFC 3461 §5.2.2: a hop without DSN will not report a success, so we say "relayed" where one was asked for.
        return Kind.RELAYED if recipient.wants("SUCCESS") else ""
    return ""


def _is_postmaster(mailbox: Mailbox, server: Server) -> bool:
    if not mailbox.domain:
        return mailbox.name == "postmaster"  # RFC 5321 §4.5.1
    return mailbox.key == postmaster_of(server).key


def postmaster_of(server: Server) -> Mailbox:
    """The configured postmaster as a mailbox."""
    return parse_mailbox(server.postmaster)


def _notice(occasion: Occasion, kind: str, fates: tuple[RecipientFate, ...], server: Server, id_: str) -> Notice:
    message = occasion.message
    to = addressee(message, server)
    lifetime = in_words(lifetime_of(message, server.limits))
    report = StatusReport(
        id=id_,
        reporting_mta=server.hostname,
        from_=postmaster_of(server).in_ascii,
        to=to.in_ascii,
        date=occasion.now,
        subject=_SUBJECTS[kind],
        introduction=_INTRODUCTIONS[kind].format(host=server.hostname, lifetime=lifetime),
        recipients=tuple(_reported(occasion, kind, fate, server) for fate in fates),
        arrival=message.received,
        envid=message.envelope.envid,
        returned=_returned(occasion, kind),
    )
    wish = message.envelope.tls if message.envelope.tls == "required" else ""
    return Notice(id_, kind, to, tuple(fate.index for fate in fates), report, wish)


def _returned(occasion: Occasion, kind: str) -> str:
    """How much of the original goes back: what the sender asked for, as far as size and secrecy allow."""
    if occasion.return_content not in (FULL, HEADERS):
        return occasion.return_content
    if occasion.message.envelope.tls == "required":  # RFC 8689 §5: as if RET=HDRS was present
        return HEADERS
    # RFC 3461 §4.3: RET concerns failures; a report without any returns the header only.
    full = kind == Kind.FAILURE and occasion.message.envelope.ret != "HDRS" and occasion.return_content == FULL
    at_hand = occasion.message.content.data is not None  # a spooled one is not read for a report
    return FULL if full and at_hand and occasion.message.size <= RETURN_LIMIT else HEADERS


def _reported(occasion: Occasion, kind: str, fate: RecipientFate, server: Server) -> ReportedRecipient:
    recipient = occasion.message.envelope.recipients[fate.index]
    outcome = _outcome(occasion.result, fate.index)
    host = peer_of(occasion.result, outcome) if outcome else None
    status = _status(kind, fate, _last_reply(outcome))
    code, text = _diagnostic(outcome)
    return ReportedRecipient(
        address=recipient.mailbox.in_ascii,
        action=_ACTIONS[kind],
        status=status,
        explanation=fate.reason or (explain(occasion.result, outcome) if outcome else ""),
        advice="" if kind in (Kind.RELAYED, Kind.DOUBLE_BOUNCE) else _advice(status, _last_reply(outcome)),
        original=recipient.orcpt,
        remote=host.host if host else "",
        diagnostic=text,
        diagnostic_type=code,
        tls=_tls_line(host) if host else "",
        last_attempt=occasion.now,
        retry_until=max(occasion.message.received + lifetime_of(occasion.message, server.limits), fate.due),
    )


def _outcome(result: DeliveryResult, index: int) -> RecipientResult | None:
    return next((outcome for outcome in result.recipients if outcome.index == index), None)


def _last_reply(outcome: RecipientResult | None) -> Reply:
    if outcome is None:
        return Reply(0)
    return outcome.failure.reply if outcome.failure else outcome.reply


def _status(kind: str, fate: RecipientFate, reply: Reply) -> str:
    """RFC 3463: the peer's own code where its class fits what is reported."""
    if fate.state == EXPIRED:
        return _TIME_IS_UP
    wanted = {Kind.DELAY: "4", Kind.RELAYED: "2"}.get(kind, "5")
    return reply.status if reply.status.startswith(f"{wanted}.") else f"{wanted}.0.0"


def _diagnostic(outcome: RecipientResult | None) -> tuple[str, str]:
    """Type and text of Diagnostic-Code: the peer's reply, or our own reason under our own name."""
    if outcome is None or outcome.failure is None:
        return "smtp", str(outcome.reply) if outcome else ""
    if said_by_peer(outcome.failure):
        return "smtp", str(outcome.failure.reply)
    return "X-mta", outcome.failure.reason  # RFC 3464 §2.1.2: types of one's own begin with X-


def _advice(status: str, reply: Reply) -> str:
    if status == _TIME_IS_UP and reply.status[1:4] == ".7.":
        status = "5.7.0"  # what was waited for in vain is a rule, not a line
    return next((text for beginning, text in _ADVICE if status.startswith(beginning)), "")


def _tls_line(host: HostAttempt) -> str:
    """The evidence of the hop in one line: what was demanded, what was seen, how it was judged."""
    handshake = f"TLS {host.tls.version} with {host.tls.cipher}" if host.tls else ""
    demanded = f"demanded {host.requirement}" if host.requirement else ""
    return "; ".join(part for part in (handshake, _shown(host), _published(host), demanded, host.verdict) if part)


def _published(host: HostAttempt) -> str:
    """What the host's domain, and the recipient's, had published about its TLS."""
    published = host.published
    if published is None:
        return ""
    states = (("DANE", published.dane), ("MTA-STS", published.sts))
    return f"published: {', '.join(f'{name} {policy.state}' for name, policy in states if policy)}"


def _shown(host: HostAttempt) -> str:
    """The certificate of the host: whose, by whom, until when."""
    leaf = host.tls.leaf if host.tls else None
    if leaf is None:
        return ""
    until = datetime.fromtimestamp(leaf.not_after, UTC).strftime("%Y-%m-%d")
    names = ", ".join((*leaf.dns_names, *leaf.ip_addresses)[:_NAMES_TOLD]) or "nobody"
    revocation = f", {host.revocation}" if host.revocation else ""
    return f"certificate {leaf.subject} for {names}, issued by {leaf.issuer}, valid until {until}{revocation}"
