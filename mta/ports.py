"""The outside world as the house sees it: Protocols only. Adapters implement them; tests fake or contract-test them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, Protocol

from mta.model.address import Mailbox
from mta.model.directory import DirectoryAnswer, Harvest, SourceAnswer, TrustRung
from mta.model.envelope import Envelope, Recipient
from mta.model.frozen import frozen
from mta.model.message import Content, NewForm, QueuedMessage
from mta.model.reply import Reply
from mta.model.seen import Memory
from mta.model.session import SessionFacts
from mta.model.sts import StsAnswer
from mta.model.tls import CertificateFacts, PathVerdict, TlsFacts, TrustAnchors


class Clock(Protocol):
    """Time as a parameter."""

    def now(self) -> float:
        """Epoch seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...


# --- DNS ---------------------------------------------------------------------------------------------------------


class DnsStatus(Enum):
    """What a look-up came to. TEMPORARY covers SERVFAIL, timeout and bogus: unknown, therefore try later."""

    OK = "ok"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    TEMPORARY = "temporary"


@dataclass(frozen=True, slots=True)
class MxRecord:
    """One MX: preference and host (lower case, no final dot; empty for the null MX of RFC 7505)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class MxAnswer:
    """MX records of a domain. `secure`: the AD bit of a resolver we believe. `detail`: why TEMPORARY.

    `canonical`: the name that an alias led to; empty where the domain is none.
    """

    status: DnsStatus
    records: tuple[MxRecord, ...] = ()
    secure: bool = False
    detail: str = ""
    canonical: str = ""


@dataclass(frozen=True, slots=True)
class AddressAnswer:
    """A and AAAA records of a host, as text, IPv6 first where both exist.

    `secure` covers the whole way there; `canonical` is the name that aliases led to, empty where the host is none.
    """

    status: DnsStatus
    addresses: tuple[str, ...] = ()
    secure: bool = False
    detail: str = ""
    canonical: str = ""


@dataclass(frozen=True, slots=True)
class TxtAnswer:
    """TXT records of a name, each with its strings joined (RFC 7208 §3.3)."""

    status: DnsStatus
    records: tuple[bytes, ...] = ()
    secure: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NamesAnswer:
    """PTR records of an address, or the CNAME of a name: names in lower case without a final dot."""

    status: DnsStatus
    names: tuple[str, ...] = ()
    secure: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TlsaRecord:
    """One TLSA record as it was published (RFC 6698 §2.1); the numbers mean nothing to us yet."""

    usage: int
    selector: int
    matching: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TlsaAnswer:
    """TLSA records of a name. They count only if `secure` (RFC 7672 §2.1.1)."""

    status: DnsStatus
    records: tuple[TlsaRecord, ...] = ()
    secure: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CertAnswer:
    """The certificates (DER) of the CERT records of type PKIX of a name (RFC 4398 §2.1)."""

    status: DnsStatus
    certificates: tuple[bytes, ...] = ()
    secure: bool = False
    detail: str = ""


class SenderNames(Protocol):
    """The look-ups that judging a sender takes. Never raises for an answer that is merely bad: that is data."""

    async def txt(self, name: str) -> TxtAnswer:
        """The TXT records of `name` (A-labels)."""
        ...

    async def a(self, host: str) -> AddressAnswer:
        """The IPv4 addresses of `host` alone, CNAMEs followed."""
        ...

    async def aaaa(self, host: str) -> AddressAnswer:
        """The IPv6 addresses of `host` alone, CNAMEs followed."""
        ...

    async def ptr(self, address: str) -> NamesAnswer:
        """The names of an IP address."""
        ...

    async def mx(self, domain: str) -> MxAnswer:
        """The MX records of `domain` (A-labels)."""
        ...


class Resolver(SenderNames, Protocol):
    """DNS, all of it."""

    async def addresses(self, host: str) -> AddressAnswer:
        """The addresses of `host`, CNAMEs followed."""
        ...

    async def tlsa(self, name: str) -> TlsaAnswer:
        """The TLSA records of `name`, such as `_25._tcp.mx.x.example`, CNAMEs followed."""
        ...

    async def smimea(self, name: str) -> TlsaAnswer:
        """The SMIMEA records of `name`: their form is that of TLSA (RFC 8162 §2)."""
        ...

    async def cert(self, name: str) -> CertAnswer:
        """The CERT records of `name` that hold a certificate of PKIX."""
        ...

    async def cname(self, name: str) -> NamesAnswer:
        """Where `name` itself is an alias to: one name, not followed; `secure` is that of the alias alone."""
        ...


class StsPolicies(Protocol):
    """MTA-STS policies (RFC 8461) of other domains, fetched when they are needed and remembered until they expire."""

    async def policy(self, domain: str) -> StsAnswer:
        """The policy of `domain` (A-labels) that is in force now; never raises for what is merely wrong with it."""
        ...

    async def renew(self) -> None:
        """Fetch anew, ahead of their time, the policies that are in use."""
        ...


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """A policy as it is remembered; `used`: when mail last asked for it (epoch seconds)."""

    domain: str
    answer: StsAnswer
    used: float


class PolicyMemory(Protocol):
    """Where policies outlive restarts, shared by all workers. Never raises: what is lost is fetched again."""

    def read(self, domain: str) -> KeptPolicy | None:
        """The policy of `domain` that was written last, expired or not."""
        ...

    def write(self, kept: KeptPolicy) -> None:
        """Remember it in place of the one before."""
        ...

    def forget(self, domain: str) -> None:
        """It is needed no more."""
        ...

    def all(self) -> Iterator[KeptPolicy]:
        """Every policy that is remembered."""
        ...


class PolicyFetcher(Protocol):
    """HTTPS to the policy hosts of other domains (RFC 8461 §3.3)."""

    async def fetch(self, domain: str) -> bytes:
        """The policy file of `domain`. Raises PolicyNotFetched."""
        ...


class NoPolicies:
    """StsPolicies of somebody who knows none."""

    async def policy(self, domain: str) -> StsAnswer:
        """No domain has one."""
        return StsAnswer()

    async def renew(self) -> None:
        """There is nothing to renew."""


# --- certificates ------------------------------------------------------------------------------------------------


class ChainVerifier(Protocol):
    """Judges a certificate chain. Deterministic for the same arguments; does no IO once an anchor set was seen."""

    def verify(self, chain: Sequence[CertificateFacts], anchors: TrustAnchors, now: float) -> PathVerdict:
        """Whether `chain` (leaf first, as the peer sent it) leads to one of `anchors` at epoch second `now`."""
        ...


class CertificateJudge(Protocol):
    """Judges certificates of S/MIME: path, usage and revocation. Asks the network only where it may."""

    async def judge(
        self, certificate: bytes, others: Sequence[bytes], purpose: Literal["sign", "encrypt"], now: float
    ) -> PathVerdict:
        """Whether `certificate` leads to an anchor at epoch second `now`, `others` lying by, and may do `purpose`.

        Never raises for what is wrong with certificates: that is data. A fault that may heal by itself is `temporary`.
        """
        ...


class CertificateSource(Protocol):
    """One place where recipients' certificates may be. Never raises: a source that is down says so."""

    @property
    def name(self) -> str:
        """What people read: the type, and which one where there are several."""
        ...

    @property
    def rung(self) -> TrustRung:
        """The highest rung that its certificates can reach."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether its answers may be kept for a while; not where it watches its own store."""
        ...

    async def find(self, mailbox: Mailbox) -> SourceAnswer:
        """Every certificate it has for this mailbox or for its whole domain."""
        ...

    async def refresh(self) -> None:
        """Look after the store, so that no look-up has to wait for that. Never raises."""
        ...

    async def close(self) -> None:
        """Let go of threads and files."""
        ...


class CertificateMemory(Protocol):
    """Where certificates learned from signed mail are kept."""

    async def remember(self, harvest: Harvest, certificate: bytes) -> None:
        """Keep `certificate`, which came with `harvest`. Never raises."""
        ...


class CertificateDirectory(Protocol):
    """Where recipients' certificates are looked up."""

    async def lookup(self, mailbox: Mailbox, *, thorough: bool = False) -> DirectoryAnswer:
        """The certificate to encrypt to for this mailbox; `thorough`: hear every source, for people."""
        ...

    async def learn(self, harvest: Harvest) -> None:
        """Remember the certificate of a signer. Never raises: what cannot be kept is not needed today."""
        ...

    async def refresh(self) -> None:
        """Let the sources look after their stores. Never raises."""
        ...

    async def close(self) -> None:
        """Let go of the sources."""
        ...


class SeenStore(Protocol):
    """What was seen of partners' hosts, from one round of probing to the next; small, and read and written whole."""

    def read(self) -> Memory:
        """What was written last; nothing where there is none that can be read."""
        ...

    def write(self, memory: Memory) -> None:
        """Replace it, durably. Raises StorageError."""
        ...


# --- keys ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key that stays where it is: `sign` takes a SHA-256 digest of 32 octets."""

    algorithm: str  # rsa-sha256 (PKCS #1 v1.5) or ed25519-sha256
    sign: Callable[[bytes], bytes]


class KeyProvider(Protocol):
    """Where private keys are kept."""

    def signing_key(self, path: str) -> SigningKey:
        """The key that the configuration names so. Raises MtaError if it cannot be used."""
        ...


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A certificate of ours (DER) with its private key, for S/MIME. Times are epoch seconds.

    `key` is a private key of `cryptography`, or an object of the same methods where the key stays in a token. `chain`
    leads towards the root, `place` says for people where it was found.
    """

    certificate: bytes
    chain: tuple[bytes, ...]
    key: Any
    not_before: float
    not_after: float
    place: str


class KeyRing(Protocol):
    """Our own certificates for S/MIME. Blocks: it may read files, or ask a token."""

    def for_signing(self, domain: str, address: str, now: float, *, whose: str) -> OwnCertificate | None:
        """The one that signs for `address` of our `domain`: `sender` its own, `domain` the domain's, `any` either.

        Of several the one that began last and is in its time. Raises MtaError for one that cannot be used.
        """
        ...

    def for_decrypting(self, domain: str, address: str) -> tuple[OwnCertificate, ...]:
        """Every one, also former and expired ones, that mail to `address` may be encrypted to; the newest first."""
        ...


# --- outbound SMTP -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the next hop's EHLO said, keywords in upper case with their parameters; empty after HELO."""

    extensions: dict[str, str] = field(default_factory=dict)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.extensions

    @property
    def size(self) -> int:
        """The announced SIZE limit (RFC 1870 §3); 0: none."""
        value = self.extensions.get("SIZE", "").strip()
        return int(value) if value.isascii() and value.isdigit() else 0


@frozen
class Transaction:
    """One mail transaction: the envelope for this hop (only its recipients) and the bytes that travel."""

    envelope: Envelope
    prefix: bytes
    content: Content


@frozen
class TransactionReplies:
    """The hop's replies. `recipients` is parallel to the envelope's; `data` is None where it was not reached.

    `mail`: to MAIL FROM; `data`: to DATA if it was refused, else to the final dot.
    """

    mail: Reply
    recipients: tuple[Reply, ...] = ()
    data: Reply | None = None
    unsaid: bool = False  # nothing was said to the hop: it cannot carry the message, `mail` is our own reply


class SmtpConnection(Protocol):
    """An open connection to a next hop. Raises ConnectFailed, TlsFailed or RemoteProtocolError when it breaks."""

    host: str
    port: int
    address: str
    local_address: str  # ours

    @property
    def capabilities(self) -> Capabilities:
        """Of the last EHLO."""
        ...

    @property
    def tls(self) -> TlsFacts | None:
        """Facts of the handshake, once there was one."""
        ...

    @property
    def usable(self) -> bool:
        """Whether it is still open and nothing unexpected has arrived."""
        ...

    async def greet(self, helo: str) -> Reply:
        """Read the greeting (the first time), say EHLO, HELO if that is refused; the decisive reply."""
        ...

    async def start_tls(self) -> Reply:
        """STARTTLS; after a 220 the handshake. Any other reply is returned and the connection stays clear."""
        ...

    async def authenticate(self, user: str, password: str) -> Reply:
        """AUTH PLAIN (RFC 4954), or LOGIN where only that is offered."""
        ...

    async def transact(self, transaction: Transaction) -> TransactionReplies:
        """MAIL, RCPT…, DATA and the content; pipelined where offered. The connection may be used again after."""
        ...

    async def probe_recipient(self, envelope: Envelope) -> tuple[Reply, Reply | None]:
        """MAIL and one RCPT, then RSET: what a call-out asks. The reply to MAIL, and to RCPT if it was sent."""
        ...

    async def quit(self) -> None:
        """QUIT and close; never raises."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


@frozen
class DialTarget:
    """Where to connect, and which TLS to speak there. Part of the pool's key, therefore hashable."""

    host: str
    port: int
    address: str
    sni: str = ""
    min_version: str = "1.2"
    certificate_chain: str = ""  # paths of the client certificate we present; empty: none
    certificate_key: str = ""
    implicit_tls: bool = False


class Dialer(Protocol):
    """Opens connections to next hops."""

    async def connect(self, target: DialTarget) -> SmtpConnection:
        """A TCP connection (and TLS at once where implicit). Raises ConnectFailed or TlsFailed."""
        ...


# --- inbound SMTP ------------------------------------------------------------------------------------------------


class InboundSession(Protocol):
    """What the server adapter asks about one client's conversation; every answer is the reply the client hears.

    The adapter keeps the grammar and the order of commands; this side decides. `facts` is the session as it is now.
    """

    def opened(self, facts: SessionFacts) -> Reply | None:
        """A client has connected (its true address is known). A reply here refuses it before the greeting."""
        ...

    def mail(self, facts: SessionFacts, envelope: Envelope) -> Reply:
        """MAIL FROM, parsed."""
        ...

    async def recipient(self, facts: SessionFacts, recipient: Recipient) -> Reply:
        """RCPT TO, parsed."""
        ...

    def data_begins(self) -> None:
        """The client is sending a message from now on."""
        ...

    def spool(self) -> Spool:
        """Where a message larger than the threshold goes."""
        ...

    async def message(self, facts: SessionFacts, content: Content) -> Reply:
        """The whole message. A 250 means that it is durable."""
        ...

    def reset(self) -> None:
        """The transaction, if any, is over: RSET, EHLO, or it went wrong on the wire."""
        ...

    def error(self, facts: SessionFacts, reply: Reply, line: str) -> None:
        """The client was told an error that this side did not decide (grammar, order, limits)."""
        ...

    def closed(self, facts: SessionFacts, reason: str) -> None:
        """The conversation is over."""
        ...


class Receiver(Protocol):
    """Opens sessions; one a worker."""

    def session(self) -> InboundSession:
        """For a client that has just connected."""
        ...


# --- reports -----------------------------------------------------------------------------------------------------


class ReportSpool(Protocol):
    """Where counts and reports are kept, by days like `2026-11-25`. Blocks; raises StorageError.

    Counts are appended without being forced to the disk: after a crash the last minute may be missing. A shelf holds
    whole files that are replaced at once; names are letters, digits and `._-`.
    """

    def add_counts(self, day: str, writer: str, lines: bytes) -> None:
        """Append to this writer's file, all or nothing. Raises StorageFull beyond its bound."""
        ...

    def counts(self, day: str) -> Iterator[bytes]:
        """The lines of all writers."""
        ...

    def days(self) -> tuple[str, ...]:
        """Days with counts, oldest first."""
        ...

    def forget_counts(self, day: str) -> None:
        """The day's reports are made."""
        ...

    def put(self, shelf: str, day: str, name: str, data: bytes) -> None:
        """Keep a file, in place of one of the same name."""
        ...

    def get(self, shelf: str, day: str, name: str) -> bytes:
        """A file that is there."""
        ...

    def names(self, shelf: str) -> tuple[tuple[str, str], ...]:
        """Every file of a shelf as (day, name), in order."""
        ...

    def purge(self, before: str) -> None:
        """Forget whole days."""
        ...


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of an HTTPS request: accepted, or why not."""

    accepted: bool
    detail: str


class ReportPoster(Protocol):
    """Delivers reports by HTTPS."""

    async def post(self, url: str, media_type: str, data: bytes, *, private: bool) -> Posted:
        """POST `data`; never raises. Private and loopback addresses are refused unless `private`."""
        ...


# --- the queue ---------------------------------------------------------------------------------------------------


@frozen
class RecipientFate:
    """What settling writes for one recipient: its new state and why."""

    index: int
    state: str
    reason: str
    due: float = 0.0
    counted: bool = True  # this was an attempt
    warned: bool = False  # a delay warning goes out with this settlement


@frozen
class Event:
    """One line of a message's history. `detail` holds JSON types only; `recipients` are indices, empty: all."""

    at: float
    name: str  # observe/events.py
    detail: dict[str, object]
    recipients: tuple[int, ...] = ()


@frozen
class Settlement:
    """All that one attempt (or one operator's command) changes for a message; written in one transaction.

    `notices` are whole new messages (bounces, warnings) that become durable in that same transaction. `by_operator`:
    a command, not the end of an attempt; the claim of an attempt that is under way stays.
    """

    message_id: str
    at: float
    fates: tuple[RecipientFate, ...]
    events: tuple[Event, ...] = ()
    notices: tuple[QueuedMessage, ...] = ()
    by_operator: bool = False
    forms: tuple[NewForm, ...] = ()  # recipients that came to their end keep none


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which messages are meant; every condition that is set must hold. Empty strings are not set."""

    id: str = ""
    connector: str = ""
    recipient: str = ""  # address or domain
    sender: str = ""  # address or domain
    state: str = ""
    since: float = 0.0
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """A message with its history, oldest event first. Content is not loaded."""

    message: QueuedMessage
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many recipients are in each state, and the octets of undelivered content."""

    states: dict[str, int]
    octets: int


class Spool(Protocol):
    """Takes a large message while it arrives; becomes its content without another copy."""

    size: int

    async def write(self, data: bytes) -> None:
        """Append. Raises StorageFull."""
        ...

    def content(self, head: bytes) -> Content:
        """What was written, as content of a message about to be enqueued."""
        ...

    async def discard(self) -> None:
        """Forget it; never raises."""
        ...


class QueueStore(Protocol):
    """A durable queue with one owner. When a coroutine that changes it returns, the change survives a power cut.

    `siblings` is set by the server: how many sessions are between MAIL and the reply to their message, those inside
    `enqueue` included. The store may wait a moment for them to share a commit.
    """

    siblings: int

    async def enqueue(self, message: QueuedMessage, *, claim: bool = False) -> None:
        """Take responsibility for a message. `claim`: the caller delivers it now; `claim()` will not return it."""
        ...

    def spool(self) -> Spool:
        """Where a large message goes while it arrives."""
        ...

    async def settle(self, settlement: Settlement) -> None:
        """Write fates, events and notices in one transaction and release the claim on these recipients.

        A message whose recipients are all final loses its content; its history stays for the trace.
        """
        ...

    async def claim(self, now: float, limit: int) -> list[QueuedMessage]:
        """Due messages, earliest first, not claimed by anyone; `states` holds only the due recipients."""
        ...

    async def release_claim(self, message_id: str) -> None:
        """Give a claim back untouched (shutdown, no capacity)."""
        ...

    async def next_due(self) -> float | None:
        """When the earliest unclaimed recipient is due; None: nothing waits."""
        ...

    def read(self, content: Content) -> AsyncIterator[bytes]:
        """The content in pieces of at most 256 KiB."""
        ...

    async def search(self, which: QueueFilter) -> list[QueuedMessage]:
        """Messages with any undelivered recipient, oldest first; content without its bytes."""
        ...

    async def trace(self, which: QueueFilter) -> list[TraceRecord]:
        """Messages, delivered ones too, with their history, newest first."""
        ...

    async def counts(self) -> QueueCounts:
        """For metrics and `mta queue`; costs no scan of the queue."""
        ...

    async def purge(self, before: float, limit: int = 1000) -> int:
        """Forget the history of up to `limit` messages that ended before `before`; how many were forgotten."""
        ...

    async def close(self) -> None:
        """Finish what was begun and let go of the files."""
        ...
