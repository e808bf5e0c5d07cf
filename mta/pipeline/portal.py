"""Mail that goes to the portal: what policy/protect.py decided, carried out before anything leaves.

The item is durable in the vault before anything here returns; the notices join the settlement of their recipients, so
they are queued in the transaction that says that these recipients are served. A crash in between finds the same item.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from mta.contract.connectors import Connector
from mta.contract.protection import Label, Protection
from mta.contract.readers import reader_name
from mta.errors import MtaError, StorageError
from mta.model.attempt import DeliveryResult, Failure, RecipientResult, Scope
from mta.model.author import FromField
from mta.model.envelope import Envelope
from mta.model.evidence.message import Written
from mta.model.message import NOTICE, REPORT, Content, HeaderBlock, QueuedMessage, RecipientState
from mta.model.reply import Reply
from mta.model.word import Word
from mta.pipeline.author import author_of
from mta.pipeline.deliver import Job
from mta.pipeline.header_before import HeaderBefore
from mta.pipeline.protect import octets
from mta.pipeline.site import Site
from mta.policy.channel import known_channels, without_channel
from mta.policy.protect import (
    Marks,
    Way,
    Wish,
    concerns,
    document,
    needs_text,
    refused_reader,
    smime_for,
    wanted,
    way_of,
)
from mta.policy.route import choose
from mta.policy.sign import from_our_systems
from mta.policy.transform import to_portal
from mta.ports.mail_vault import Invitation, Post
from mta.rfc.mime.addressees import named_in_header
from mta.rfc.mime.header import scan_header
from mta.rfc.mime.marked import (
    fields_of,
    header_for_vault,
    header_without_phrase,
    header_without_tag,
    phrase_of,
    subject_of,
    text_of,
)
from mta.rfc.mime.words import decode_words
from mta.rfc.smime.kind import Kind, kind_of
from mta.rfc.smime.proof import is_what_it_claims

PORTAL_NOTICE = "portal"  # in the evidence of a notice
_SEALED = frozenset({Kind.ENCRYPTED, Kind.PGP_ENCRYPTED})


@dataclass(frozen=True, slots=True)
class Plan:
    """A job whose message is protected.

    `jobs` is what S/MIME and the line may take of it, as policy/protect.py wants it, and recipients that are not meant;
    `to_vault` are those that go to the portal whatever is found, by place in the envelope.
    """

    wish: Wish
    jobs: tuple[Job, ...]
    to_vault: Mapping[int, Way]


@dataclass(frozen=True, slots=True)
class Served:
    """What came of the recipients that go to the portal; `notices` become durable with it."""

    result: DeliveryResult
    refused: tuple[RecipientResult, ...] = ()


def is_notice(message: QueuedMessage) -> bool:
    """Whether this is our own notice of a mail at the portal, or a code for its pages.

    It leaves as it is, over the line that the contract demands: its reader has no certificate, or would not be there.
    """
    if message.inbound != NOTICE:
        return False
    written = Written.from_json(message.evidence)
    return written.notice == PORTAL_NOTICE or bool(written.portal)


def may_concern(site: Site, connector: Connector, message: QueuedMessage) -> bool:
    """Whether it has to be looked at whether this mail is protected; costs nothing."""
    return (
        connector.outbound.may_protect
        and site.contract.configuration.protection is not None
        and message.inbound not in (NOTICE, REPORT)  # an answer of a reader is protected like the mail it answers
    )


def wish_of(site: Site, connector: Connector, message: QueuedMessage) -> Wish | None:
    """Whether this message is to be protected where it goes by this connector. Raises StorageError."""
    protection = site.contract.configuration.protection
    if protection is None or not may_concern(site, connector, message):
        return None
    outbound, triggers = connector.outbound, protection.triggers
    ours = from_our_systems(site.contract.configuration, message.inbound)
    block = _scan(message.content)
    text = text_of(octets(message.content)) if ours and needs_text(outbound, triggers) else ""
    marks = Marks(subject_of(block), fields_of(block), message.content.size, text)
    wish = wanted(outbound, triggers, marks, ours=ours)
    return None if wish is None or _by_its_author(message, block) else wish


def _by_its_author(message: QueuedMessage, block: HeaderBlock) -> bool:
    """Whether the author has encrypted it already."""
    raw = message.content.beginning
    kind = kind_of(block, raw)
    if kind not in _SEALED:
        return False
    whole = octets(message.content)
    return is_what_it_claims(whole, scan_header(whole, len(whole)), kind)


def plan(site: Site, job: Job) -> Plan | None:
    """What of a job is protected; None: nothing of it, and it leaves as ever. Raises StorageError."""
    wish = wish_of(site, job.connector, job.message)
    if wish is None:
        return None
    meant = [state for state in job.recipients if concerns(job.connector, _to_our_own(site, job, state))]
    if not meant:
        return None
    message = _without_marks(job.message, wish.tag)
    rest = tuple(state for state in job.recipients if state not in meant)
    others = (replace(job, message=message, recipients=rest),) if rest else ()
    smime = smime_for(job.connector.outbound, wish)
    if smime is None:
        way = way_of(job.connector.outbound, wish, None)
        return Plan(wish, others, {state.index: way for state in meant})
    connector = replace(job.connector, outbound=replace(job.connector.outbound, smime=smime))
    asked = replace(job, message=message, connector=connector, recipients=tuple(meant))
    return Plan(wish, (asked, *others), {})


def _to_our_own(site: Site, job: Job, state: RecipientState) -> bool:
    return site.contract.index.our_domain(job.message.envelope.recipients[state.index].mailbox.ascii_domain) is not None


def _without_marks(message: QueuedMessage, tag: str) -> QueuedMessage:
    """Without the tag in its subject, and without a phrase, which is for nobody on the way."""
    block = _scan(message.content)
    header = block.raw[: block.body_start]
    fresh = header_without_phrase(header_without_tag(header, tag) if tag else header)
    if fresh == header:
        return message
    raw = fresh + octets(message.content)[len(header) :]
    return replace(message, content=Content(len(raw), raw))


def sorted_out(
    plan: Plan, refused: Sequence[RecipientResult], job: Job
) -> tuple[dict[int, Way], tuple[RecipientResult, ...]]:
    """Who of those that S/MIME gave nothing goes to the portal, and the others."""
    there = {
        each.index: way_of(job.connector.outbound, plan.wish, each.failure)
        for each in refused
        if each.failure is not None and to_portal(each.failure)
    }
    return there, tuple(each for each in refused if each.index not in there)


async def serve(site: Site, job: Job, wish: Wish, ways: Mapping[int, Way]) -> Served:
    """Put the message of `job` into the vault for the recipients at these places, and write their notices."""
    try:
        return await _Serving(site, job, wish).serve(ways)
    except (MtaError, OSError) as error:
        failure = _away(error)
        return Served(DeliveryResult((), ()), tuple(RecipientResult(at, failure.reply, failure, None) for at in ways))


@dataclass(slots=True)
class _Serving:
    site: Site
    job: Job
    wish: Wish

    async def serve(self, ways: Mapping[int, Way]) -> Served:
        vault, label = self.site.mail_vault, self._label()
        if vault is None or label is None:
            raise MtaError(f"there is no vault, or no label {self.wish.label}, any more")
        block = _scan(self.job.message.content)
        readers = {index: self._reader(index) for index in ways}
        refused = {index: self._refused(label, name, block) for index, name in readers.items()}
        served = {index: name for index, name in readers.items() if refused[index] is None}
        held = tuple(RecipientResult(at, why.reply, why, None) for at, why in refused.items() if why is not None)
        if not served:
            return Served(DeliveryResult((), ()), held)
        post = await self._post(block, served)
        deposited = await vault.deposit(post, self._source(block))
        done: list[RecipientResult] = []
        notices: list[QueuedMessage] = []
        for invitation, index in zip(post.invitations, served, strict=True):
            raw = deposited.notices.get(invitation.id)
            if raw is None:
                gone = _revoked(deposited.item)
                held += (RecipientResult(index, gone.reply, gone, None),)
                continue
            reply = Reply(250, "2.0.0", (f"At the portal as item {deposited.item}",))
            done.append(RecipientResult(index, reply, None, None))
            notices.append(self._notice(invitation.id, index, raw, deposited.item))
        detail = tuple(
            ((each.index,), {"item": deposited.item, **document(label, self.wish, ways[each.index])}) for each in done
        )
        return Served(DeliveryResult((), tuple(done), protection=detail, notices=tuple(notices)), held)

    def _refused(self, label: Label, reader: str, block: HeaderBlock) -> Failure | None:
        """Why this recipient gets no grant: it waits, the others do not."""
        protection = self.site.contract.configuration.protection
        numbers = protection.sms.numbers if protection and protection.sms else {}
        channels = known_channels(reader, numbers, self._phrase(block))
        return refused_reader(label, reader, self._ours) or without_channel(label, reader, channels)

    def _phrase(self, block: HeaderBlock) -> str:
        """The phrase in the header: by word of our own systems alone."""
        ours = from_our_systems(self.site.contract.configuration, self.job.message.inbound)
        return phrase_of(block) if ours else ""

    @property
    def _ours(self) -> frozenset[str]:
        return frozenset(self.site.contract.configuration.domains)

    def _label(self) -> Label | None:
        protection: Protection | None = self.site.contract.configuration.protection
        return protection.labels.get(self.wish.label) if protection else None

    def _reader(self, index: int) -> str:
        return reader_name(str(self.job.message.envelope.recipients[index].mailbox))

    async def _post(self, block: HeaderBlock, served: Mapping[int, str]) -> Post:
        message, server = self.job.message, self.site.contract.configuration.server
        mailboxes = {index: message.envelope.recipients[index].mailbox for index in served}
        named = named_in_header(block, mailboxes.values())
        shown = [name for index, name in served.items() if mailboxes[index] in named]
        from_ = await author_of(block, server.limits.header_addresses)
        author, field = self._author(block, from_)
        return Post(
            message_id=message.id,
            label=self.wish.label,
            owner=author,
            readers=tuple(dict.fromkeys(shown)),
            hidden=tuple(dict.fromkeys(name for name in served.values() if name not in shown)),
            subject=subject_of(_scan_bytes(header_for_vault(block, self.wish.tag))),
            author=_display(block, author),
            from_field=field,
            date=self.site.clock.now(),
            host=server.hostname,
            phrase=self._phrase(block),
            invitations=tuple(
                Invitation(name, str(mailboxes[index]), self.site.ids.next()) for index, name in served.items()
            ),
        )

    def _author(self, block: HeaderBlock, from_: FromField) -> tuple[str, bytes]:
        """Who owns the item, and the From field of its notices: the author's, where the mail is of our own systems.

        Others' mail is announced by our postmaster: we neither sign for strangers nor pretend to be them.
        """
        configuration = self.site.contract.configuration
        if len(from_.authors) == 1 and not from_.ambiguous:
            author = from_.authors[0]
            ours = self.site.contract.index.our_domain(author.ascii_domain) is not None
            if ours and from_our_systems(configuration, self.job.message.inbound):
                fields = [each for each in block.fields if each.name == b"from"]
                return reader_name(str(author)), block.raw[fields[0].start : fields[0].end]
        sender = self.job.message.envelope.sender
        postmaster = configuration.server.postmaster
        return reader_name(str(sender) if sender else postmaster), f"From: <{postmaster}>\r\n".encode()

    def _source(self, block: HeaderBlock) -> Callable[[], BinaryIO]:
        content, header = self.job.message.content, header_for_vault(block, self.wish.tag)

        def opened() -> BinaryIO:
            if content.data is not None:
                return io.BytesIO(header + content.data[block.body_start :])
            body = Path(content.path or "").open("rb")  # noqa: SIM115 - closed with what is built on it
            body.seek(block.body_start)
            return cast(BinaryIO, io.BufferedReader(HeaderBefore(header, body)))

        return opened

    def _notice(self, id_: str, index: int, raw: bytes, item: str) -> QueuedMessage:
        """A notice as a message of the queue, to be sent to who was to get the mail, by the way that goes there now."""
        message, now = self.job.message, self.site.clock.now()
        recipient = message.envelope.recipients[index]
        notify = tuple(word for word in recipient.notify if word != "SUCCESS")
        # RFC 3461 §4.1: who asked for reports of success alone wants no other
        recipient = replace(recipient, notify=notify or (("NEVER",) if recipient.notify else ()))
        route = choose(self.site.contract.index, recipient.mailbox)
        return QueuedMessage(
            id=id_,
            envelope=Envelope(message.envelope.sender, (recipient,), smtputf8=message.envelope.smtputf8),
            content=Content(len(raw), raw),
            prefix=b"",
            received=now,
            inbound=NOTICE,
            states=(RecipientState(0, route.connector.name, due=now),),
            evidence=Written(notice=PORTAL_NOTICE, about=message.id, item=item).to_json(),
        )


def _display(block: HeaderBlock, author: str) -> str:
    """The author in words: the name beside the address, if there is one that does not look like another address."""
    values = block.values(b"from")
    name = decode_words(values[0]).partition("<")[0].strip(' "') if len(values) == 1 and b"<" in values[0] else ""
    return f"{name} ({author})" if name and "@" not in name else author


def _scan(content: Content) -> HeaderBlock:
    return _scan_bytes(content.beginning)


def _scan_bytes(raw: bytes) -> HeaderBlock:
    return scan_header(raw, len(raw))


def _away(error: Exception) -> Failure:
    """The vault is full or away, a key is missing: the mail waits."""
    word = Word.VAULT_FULL if isinstance(error, StorageError) else Word.VAULT
    reply = Reply(451, "4.3.0", ("Cannot be protected as required now",))
    return Failure(Scope.MESSAGE, word, str(error), reply, permanent=False, local=True)


def _revoked(item: str) -> Failure:
    reply = Reply(550, "5.7.1", ("The sender has taken the message back",))
    story = f"no grant of {item} any more"
    return Failure(Scope.RECIPIENT, Word.PROTECT_REVOKED, story, reply, permanent=True, local=True)
