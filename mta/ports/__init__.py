"""The outside world as the house sees it: Protocols only. Adapters implement them; tests fake or contract-test them.

One file for each part of the world; everybody imports from here.
"""

from mta.ports.access import AccessGrant, AccessTokens
from mta.ports.certificates import (
    CertificateDirectory,
    CertificateJudge,
    CertificateMemory,
    CertificateSource,
    ChainVerifier,
    SeenStore,
)
from mta.ports.clock import Clock
from mta.ports.dns import (
    AddressAnswer,
    CertAnswer,
    DnsStatus,
    MxAnswer,
    MxRecord,
    NamesAnswer,
    Resolver,
    SenderNames,
    TlsaAnswer,
    TlsaRecord,
    TxtAnswer,
)
from mta.ports.keys import KeyProvider, KeyRing, OwnCertificate, SigningKey, TokenKey
from mta.ports.next_hop import Capabilities, Dialer, DialTarget, SmtpConnection, Transaction, TransactionReplies
from mta.ports.queue import (
    Event,
    Postponement,
    QueueCommand,
    QueueCounts,
    QueueFilter,
    QueueGroup,
    QueueStore,
    QueueSurvey,
    RecipientFate,
    Settlement,
    Spool,
    TraceRecord,
    WaitingRecipient,
)
from mta.ports.reports import Posted, ReportPoster, ReportSpool
from mta.ports.session import InboundSession, Receiver
from mta.ports.sts import KeptPolicy, NoPolicies, PolicyFetcher, PolicyMemory, StsPolicies

__all__ = [
    "AccessGrant",
    "AccessTokens",
    "AddressAnswer",
    "Capabilities",
    "CertAnswer",
    "CertificateDirectory",
    "CertificateJudge",
    "CertificateMemory",
    "CertificateSource",
    "ChainVerifier",
    "Clock",
    "DialTarget",
    "Dialer",
    "DnsStatus",
    "Event",
    "InboundSession",
    "KeptPolicy",
    "KeyProvider",
    "KeyRing",
    "MxAnswer",
    "MxRecord",
    "NamesAnswer",
    "NoPolicies",
    "OwnCertificate",
    "PolicyFetcher",
    "PolicyMemory",
    "Posted",
    "Postponement",
    "QueueCommand",
    "QueueCounts",
    "QueueFilter",
    "QueueGroup",
    "QueueStore",
    "QueueSurvey",
    "Receiver",
    "RecipientFate",
    "ReportPoster",
    "ReportSpool",
    "Resolver",
    "SeenStore",
    "SenderNames",
    "Settlement",
    "SigningKey",
    "SmtpConnection",
    "Spool",
    "StsPolicies",
    "TlsaAnswer",
    "TlsaRecord",
    "TokenKey",
    "TraceRecord",
    "Transaction",
    "TransactionReplies",
    "TxtAnswer",
    "WaitingRecipient",
]
