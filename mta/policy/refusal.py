"""What a refused peer hears: correct and bland. Which names, CAs or networks a contract expects is not its business."""

from __future__ import annotations

from mta.contract.connectors import Connector
from mta.model.reply import Reply
from mta.model.word import Word
from mta.policy.decision import Decision, Reason, Verdict

STARTTLS_FIRST = Reply(530, "5.7.0", ("Must issue a STARTTLS command first",))  # RFC 3207 §4
NO_SUCH_USER = Reply(550, "5.1.1", ("No such mailbox here",))  # RFC 3463 §3.2
NO_DOMAIN = Reply(553, "5.1.3", ("The recipient needs a domain",))  # RFC 3463 §3.2
RELAYING_DENIED = Reply(550, "5.7.1", ("Relaying denied",))  # RFC 3463 §3.8

UNKNOWN = frozenset({Word.REVOCATION_UNKNOWN, Word.CONTRACT_BROKEN})
"""Words of what nobody can tell now: unknown is temporary."""

# Reason word -> enhanced code, text where a domain was claimed, text where none was.
# RFC 5248 §2.4 keeps the registry of codes: 5.7.10 is "Encryption Needed".
_TEXTS: dict[Word, tuple[str, str, str]] = {
    Word.NO_TLS: ("5.7.10", "mail from {0} requires TLS", "this server requires TLS"),
    Word.TLS_VERSION: ("5.7.10", "mail from {0} requires a newer version of TLS", "a newer version of TLS is required"),
    Word.NO_CERTIFICATE: (
        "5.7.1",
        "{0} requires a client certificate of that organisation",
        "a client certificate is required",
    ),
    Word.CERTIFICATE_UNTRUSTED: (
        "5.7.1",
        "the client certificate is not issued by an authority accepted for {0}",
        "the client certificate is not issued by an accepted authority",
    ),
    Word.CERTIFICATE_EXPIRED: (
        "5.7.1",
        "the client certificate presented for {0} has expired",
        "the client certificate has expired",
    ),
    Word.CERTIFICATE_NOT_YET_VALID: (
        "5.7.1",
        "the client certificate presented for {0} is not valid yet",
        "the client certificate is not valid yet",
    ),
    Word.CERTIFICATE_INVALID: (
        "5.7.1",
        "the client certificate presented for {0} is not valid",
        "the client certificate is not valid",
    ),
    Word.CERTIFICATE_NAME: (
        "5.7.1",
        "the client certificate does not name a host of {0}",
        "the client certificate does not name an accepted host",
    ),
    Word.CERTIFICATE_PIN: (
        "5.7.1",
        "the client certificate is not the one agreed with {0}",
        "the client certificate is not the one agreed upon",
    ),
    Word.CERTIFICATE_EKU: (
        "5.7.1",
        "the client certificate presented for {0} is not meant for TLS clients",
        "the client certificate is not meant for TLS clients",
    ),
    Word.CERTIFICATE_REVOKED: (
        "5.7.1",
        "the client certificate presented for {0} has been revoked",
        "the client certificate has been revoked",
    ),
    Word.REVOCATION_UNKNOWN: (
        "4.7.1",
        "whether the client certificate presented for {0} is revoked cannot be told now, try again later",
        "whether the client certificate is revoked cannot be told now, try again later",
    ),
    Word.CONTRACT_BROKEN: (  # RFC 3463 §3.4: X.3.5 is a system that is incorrectly configured
        "4.3.5",
        "mail from {0} cannot be checked now, try again later",
        "this session cannot be checked now, try again later",
    ),
    Word.NETWORK: (
        "5.7.1",
        "mail from {0} is not accepted from this address",
        "mail is not accepted from this address",
    ),
    Word.OWN_SENDER: (
        "5.7.1",
        "mail from {0} is accepted from its own systems only",
        "mail is accepted from our own systems only",
    ),
    Word.AMBIGUOUS_FROM: (
        "5.7.1",
        "the From header field must name exactly one author",
        "the From header field must name exactly one author",
    ),
}


def reply_for(reason: Reason, domain: str, *, at_data: bool = False) -> Reply:
    """The reply for one reason. `domain` (A-labels) is the one the peer claimed, or empty.

    `at_data`: the reply follows the final dot, where 530 would tell the client nothing it can do.
    """
    if reason.word is Word.NO_TLS and not at_data:
        return STARTTLS_FIRST
    enhanced, claimed, unclaimed = _TEXTS[reason.word]
    code = 451 if enhanced.startswith("4") else 550
    return Reply(code, enhanced, (claimed.format(domain) if domain else unclaimed,))


def refuse(connector: Connector, reasons: tuple[Reason, ...], domain: str, *, at_data: bool = False) -> Decision:
    """A refusal for every one of `reasons`; the peer hears of the first, which is the first to be mended.

    If all of them are only unknown, it hears that it may try again.
    """
    lasting = [reason for reason in reasons if reason.word not in UNKNOWN]
    reply = reply_for((lasting or reasons)[0], domain, at_data=at_data)
    return Decision(Verdict.REFUSE if lasting else Verdict.DEFER, connector.name, connector.mode, reply, reasons)
