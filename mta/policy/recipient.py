"""Whether a recipient is taken, and where it goes: the decision at RCPT TO."""

from __future__ import annotations

from mta.contract.configuration import Configuration
from mta.contract.domains import ANY_RECIPIENT, VERIFY_RECIPIENT, Domain
from mta.contract.index import ConnectorIndex
from mta.model.address import Mailbox
from mta.model.frozen import frozen
from mta.model.reply import Reply
from mta.model.word import Word
from mta.policy.decision import Decision, Reason, Verdict, with_audit
from mta.policy.identify import Identity
from mta.policy.refusal import NO_DOMAIN, NO_SUCH_USER, RELAYING_DENIED, refuse
from mta.policy.route import Route, choose
from mta.rfc.smtp.address import names_a_route, parse_mailbox


@frozen
class RecipientDecision:
    """What becomes of one RCPT TO.

    `mailbox` is the one to use: the administrator's where a bare or our own `postmaster` was named. `route` is where
    it goes, also for a refused recipient (explain shows it). `needs_callout`: the decision is an accept for as long
    as the domain's own host, when asked, does not say otherwise.
    """

    decision: Decision
    mailbox: Mailbox
    route: Route
    own: Domain | None
    needs_callout: bool = False


def judge_recipient(
    index: ConnectorIndex, identity: Identity, recipient: Mailbox, exists: bool | None
) -> RecipientDecision:
    """RCPT TO: our own domains take their recipients, anyone else's only from a peer that may relay.

    `exists` is what a call-out said of the recipient; None if it has not been asked.
    """
    mailbox, appointed = _resolve_postmaster(index, recipient, exists)
    route = choose(index, mailbox)
    if appointed:
        return RecipientDecision(_taken(identity, Word.POSTMASTER, f"goes to {mailbox}"), mailbox, route, route.own)
    if route.own:
        return _judge_own(identity, route, mailbox, exists)
    effective = _judge_relay(identity, mailbox)
    if identity.audited:
        effective = with_audit(effective, _judge_relay(identity.enforced, mailbox))
    return RecipientDecision(effective, mailbox, route, None)


# RFC 3463 §3.2: of the class X.1 what speaks of the recipient's mailbox; X.1.5 says that it is valid, X.1.7 and X.1.8
# speak of the sender, X.1.9 of a system further on.
_NO_MAILBOX = frozenset({"5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10"})
_NO_MAILBOX_BARE = frozenset({550, 551, 553})  # RFC 5321 §4.2.3, where no enhanced code says more


def mailbox_exists(reply: Reply) -> bool | None:
    """What the host behind us says of a mailbox by its reply to RCPT in a call-out; None: nothing.

    reply                                   the mailbox
    --------------------------------------  --------------------------------------------------------
    2yz                                     is there
    5yz 5.1.x of the recipient              is not there
    550, 551, 553 without an enhanced code  is not there
    any other                               not said: quota, policy, TLS, order of commands, later
    """
    if reply.positive:
        return True
    if not reply.permanent:
        return None
    missing = reply.enhanced in _NO_MAILBOX if reply.enhanced else reply.code in _NO_MAILBOX_BARE
    return False if missing else None


def _resolve_postmaster(index: ConnectorIndex, recipient: Mailbox, exists: bool | None) -> tuple[Mailbox, bool]:
    """Whose mailbox is meant, and whether it is the administrator's, who is always taken."""
    # RFC 5321 §4.5.1: postmaster is always accepted, in any case of letters, also without a domain.
    if recipient.name != "postmaster":
        return recipient, False
    configuration = index.configuration
    appointed = parse_mailbox(configuration.server.postmaster)
    ours = recipient.ascii_domain in _our_names(configuration)
    own = index.our_domain(recipient.ascii_domain)
    missing = own is not None and _exists(own, recipient, exists) is False
    if ours or missing:
        return appointed, True
    return recipient, False


def _our_names(configuration: Configuration) -> tuple[str, ...]:
    server = configuration.server
    unclaimed = (
        name.lower() for name in (server.hostname, server.authserv_id) if name.lower() not in configuration.domains
    )
    return ("", *unclaimed)


def _exists(own: Domain, recipient: Mailbox, exists: bool | None) -> bool | None:
    """Whether the domain has this recipient; None: only a call-out can tell."""
    if own.recipients == ANY_RECIPIENT:
        return True
    if own.recipients == VERIFY_RECIPIENT:
        return exists
    return recipient.key in own.recipients


def _judge_own(identity: Identity, route: Route, mailbox: Mailbox, known: bool | None) -> RecipientDecision:
    assert route.own is not None
    exists = _exists(route.own, mailbox, known)
    if exists is False:
        text = f"{mailbox} is none of the recipients of {route.own.name}"
        return RecipientDecision(_refused(identity, NO_SUCH_USER, Word.NO_SUCH_USER, text), mailbox, route, route.own)
    decision = _taken(identity, Word.OWN_DOMAIN, f"{route.own.name} is a domain of ours")
    listed = route.own.recipients not in (ANY_RECIPIENT, VERIFY_RECIPIENT)
    if not listed and names_a_route(mailbox):
        decision = _judge_routed(identity, mailbox, decision)
    return RecipientDecision(decision, mailbox, route, route.own, needs_callout=exists is None and decision.accepted)


def _judge_routed(identity: Identity, mailbox: Mailbox, taken: Decision) -> Decision:
    """An address that asks the host behind us to send on: only for whom we would send on ourselves."""
    effective = _may_route(identity, mailbox, taken)
    if identity.audited:
        effective = with_audit(effective, _may_route(identity.enforced, mailbox, taken))
    return effective


def _may_route(identity: Identity, mailbox: Mailbox, taken: Decision) -> Decision:
    if identity.relays:
        return taken
    if identity.undecided:
        return refuse(identity.connector, (identity.undecided,), "")
    text = f"the local part of {mailbox} names another host to send it on to, and the peer is no relay connector's"
    return _refused(identity, RELAYING_DENIED, Word.RELAY_DENIED, text)


def _judge_relay(identity: Identity, mailbox: Mailbox) -> Decision:
    if not mailbox.ascii_domain:
        return _refused(identity, NO_DOMAIN, Word.NO_DOMAIN, f"{mailbox} has no domain and is not postmaster")
    if identity.relays:
        return _taken(identity, Word.RELAY, f"{identity.connector.name} may relay")
    if identity.undecided:
        connector = identity.connector
        return refuse(connector, (identity.undecided,), "")  # it may be a relay: that cannot be told now
    peer = identity.connector.name if identity.proven else "nobody we know"
    text = f"{mailbox.ascii_domain} is not ours and the peer ({peer}) is no relay connector's"
    return _refused(identity, RELAYING_DENIED, Word.RELAY_DENIED, text)


def _taken(identity: Identity, word: Word, text: str) -> Decision:
    return Decision(Verdict.ACCEPT, identity.connector.name, identity.connector.mode, None, (Reason(word, text),))


def _refused(identity: Identity, reply: Reply, word: Word, text: str) -> Decision:
    return Decision(Verdict.REFUSE, identity.connector.name, identity.connector.mode, reply, (Reason(word, text),))
