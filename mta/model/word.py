"""The words: one for each thing that can be wrong with mail, a host, a certificate or a contract.

Decisions, replies, metrics and the queue go by the word; the story beside it is for people and may change. A word is
stored with a recipient, so none may be given another meaning, and one that is gone must not come back for another.
"""

from __future__ import annotations

from enum import StrEnum


class Word(StrEnum):
    """A stable word, and in one sentence what it says (docs/operations.md tells what to do)."""

    meaning: str

    def __new__(cls, word: str, meaning: str) -> Word:
        """The word is the value; `meaning` stands beside it."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member

    # --- what a peer has proved -------------------------------------------------------------------------------------
    PROVEN = "proven", "The peer has proved everything that its connector demands."
    NETWORK = "network", "The peer's address is in none of the connector's networks."
    CLAIM = "claim", "The domain is claimed by a connector, and the peer satisfies it."
    NO_CLAIM = "no-claim", "No connector claims the domain."
    AUDITED_CLAIM = "audited-claim", "A connector in audit mode claims the domain: it refuses nothing."
    OWN_SENDER = "own-sender", "A stranger uses a sender of one of our domains."
    AMBIGUOUS_FROM = "ambiguous-from", "The From field does not tell who the one author is."
    AUTHOR_SIGNATURE = "author-signature", "A signature of the author's domain stands in for what the peer lacks."

    # --- TLS and certificates, of clients and of hosts --------------------------------------------------------------
    NO_TLS = "no-tls", "TLS is demanded, and the connection is in clear."
    TLS_VERSION = "tls-version", "The version of TLS is older than the contract allows."
    TLS_FAILED = "tls-failed", "The TLS handshake did not succeed."
    STARTTLS_NOT_OFFERED = "starttls-not-offered", "TLS is demanded, and the host does not offer STARTTLS."
    STARTTLS_REFUSED = "starttls-refused", "TLS is demanded, and the host refused STARTTLS."
    REQUIRETLS = "requiretls", "The sender demands REQUIRETLS, and the host cannot promise it."
    NO_CERTIFICATE = "no-certificate", "A certificate is demanded, and none was shown."
    CERTIFICATE_UNTRUSTED = "certificate-untrusted", "The certificate does not lead to an accepted authority."
    CERTIFICATE_EXPIRED = "certificate-expired", "The certificate has expired."
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid", "The certificate is not valid yet."
    CERTIFICATE_INVALID = "certificate-invalid", "The certificate or its chain cannot be used."
    CERTIFICATE_NAME = "certificate-name", "The certificate does not name the expected host."
    CERTIFICATE_PIN = "certificate-pin", "The certificate is none of those agreed upon."
    CERTIFICATE_EKU = "certificate-eku", "The certificate is not meant for TLS clients."
    CERTIFICATE_REVOKED = "certificate-revoked", "The certificate was revoked by its issuer."
    CERTIFICATE_TLSA = "certificate-tlsa", "The certificate is not what the domain publishes with DANE."
    REVOCATION_UNKNOWN = "revocation-unknown", "It must be known that the certificate is not revoked, and is not."
    DANE_UNKNOWN = "dane-unknown", "The TLSA records of the host cannot be had securely now."
    DANE_UNUSABLE = "dane-unusable", "The TLSA records of the host cannot be used."
    DANE_REQUIRED = "dane-required", "The contract demands DANE, and the host publishes none."
    STS_MX = "sts-mx", "The MTA-STS policy of the domain does not name the host."
    STS_REQUIRED = "sts-required", "The contract demands MTA-STS, and the domain has no policy in force."
    STS_POLICY = "sts-policy", "The MTA-STS policy of the domain could not be had; told in reports alone."
    IN_CLEAR = "delivered-in-clear", "The mail left without TLS, as the level permits; told in reports alone."

    # --- the message, and who sent it -------------------------------------------------------------------------------
    SPF = "spf", "SPF does not permit this host, or the record is broken."
    SPF_UNKNOWN = "spf-unknown", "SPF could not be judged now."
    DKIM = "dkim", "No DKIM signature verifies."
    DKIM_WEAK = "dkim-weak", "The key of the DKIM signature is too short."
    DKIM_NOT_ALIGNED = "dkim-not-aligned", "No good DKIM signature is of the author's domain."
    DKIM_UNKNOWN = "dkim-unknown", "The DKIM signatures could not be judged now."
    DMARC = "dmarc", "DMARC failed."
    DMARC_UNKNOWN = "dmarc-unknown", "DMARC could not be judged now."
    ARC = "arc", "An ARC chain that is trusted vouches for the message."
    ARC_UNKNOWN = "arc-unknown", "The ARC chain could not be judged now."
    NULL_MX = "null-mx", "The domain says that it takes no mail (null MX): the sender's, or the recipient's."
    NULL_MX_UNKNOWN = "null-mx-unknown", "Whether the sender's domain takes mail could not be looked up now."
    HEADER = "header", "The header of the message cannot be read."
    HOPS = "hops", "The message has passed too many hosts: it goes in circles."
    STRUCTURE = "structure", "Readers would understand the structure of the message differently."
    FOREIGN_PROTECTION = "foreign-protection", "Others' rights management protects a part of the message."

    # --- the recipient at RCPT TO -----------------------------------------------------------------------------------
    POSTMASTER = "postmaster", "Mail to postmaster is always taken."
    OWN_DOMAIN = "own-domain", "The recipient is of a domain of ours."
    RELAY = "relay", "The peer may relay."
    NO_SUCH_USER = "no-such-user", "The recipient is none of the domain's."
    NO_DOMAIN = "no-domain", "The recipient has no domain."
    RELAY_DENIED = "relay-denied", "The recipient is not ours, and the peer may not relay."
    CALLOUT_UNKNOWN = "callout-unknown", "The host behind us does not say now whether the recipient exists."
    FROM_PORTAL = "portal", "A reader of protected mail answers; the portal has proved who it is."

    # --- the way to the next hop ------------------------------------------------------------------------------------
    DNS = "dns", "A name server does not answer, or the host has no address."
    NO_SUCH_DOMAIN = "no-such-domain", "The recipient's domain does not exist."
    NO_USABLE_MX = "no-usable-mx", "The MX records of the recipient's domain name no host that can be used."
    LOOP = "loop", "The next hop is this relay itself."
    CONNECT = "connect", "No connection to the host came about."
    CONVERSATION = "conversation", "The connection broke, or what the host said could not be understood."
    STALE_CONNECTION = "stale-connection", "A connection that was kept open had been closed by the host."
    GREETING = "greeting", "The host refused the conversation in its greeting or at EHLO."
    REFUSED = "refused", "The host refused the message or a recipient; its reply follows."
    CANNOT_CARRY = "cannot-carry", "The host lacks an extension without which the message cannot be sent."
    AUTH_REFUSED = "auth-refused", "The host does not take our password or token."
    AUTH_NOT_OFFERED = "auth-not-offered", "The host offers no way of authentication that we could use."
    AUTH_NO_TOKEN = "auth-no-token", "The issuer gives no token for the host."
    AUTH_UNPROTECTED = "auth-unprotected", "The host has not proved itself: it hears no password."
    WAITS_FOR_DESTINATION = "waits-for-destination", "The destination is down, and another message tries it."

    # --- ours -------------------------------------------------------------------------------------------------------
    CONTRACT_BROKEN = "contract-broken", "A file of the connector cannot be used."
    CONTRACT_CHANGED = "contract-changed", "The configuration was exchanged meanwhile: it is judged anew."
    LEASE_PASSED = "lease-passed", "This node may have lost the message to another one; it did not send the final dot."
    CRASH_LOOP = "crash-loop", "Held: nodes that attempted it vanished again and again."
    CONNECTOR_MISSING = "connector-missing", "Held: the connector is not in the configuration any more."
    QUARANTINE = "quarantine", "Held: the contract says so of what authentication found."
    RETURNED = "returned", "An administrator gave the message up; its sender was told."
    STORAGE = "storage", "The disk of the queue is full or in trouble."
    DEFECT = "defect", "A fault of this program; the log has the whole story."
    DAMAGED = "damaged", "Held: what is stored of the message is damaged."
    DKIM_KEY = "dkim-key", "The message cannot be signed with DKIM: the key cannot be used."

    # --- S/MIME and the portal --------------------------------------------------------------------------------------
    SMIME_NO_CERTIFICATE = "smime-no-certificate", "Encryption is demanded, and the recipient has no certificate."
    SMIME_DIRECTORY = "smime-directory", "The recipient's certificate cannot be looked up now."
    SMIME_NO_IDENTITY = "smime-no-identity", "A signature is demanded, and nobody here can sign for the author now."
    SMIME_FOREIGN_AUTHOR = "smime-foreign-author", "A signature is demanded for mail that is not of our own systems."
    SMIME_STRUCTURE = "smime-structure", "The message has a structure that nobody may sign or encrypt."
    SMIME_FAILED = "smime-failed", "A key or token did not do its work now."
    SMIME_PORTAL = "smime-portal", "The recipient has no certificate, and the copy goes to the portal."
    ALREADY_PROTECTED = "already-protected", "The contract takes no mail that its author has signed or encrypted."
    VAULT = "vault", "Mail for the portal cannot be sealed now."
    VAULT_FULL = "vault-full", "The disk of the vault is full or away."
    PROTECT_CHANNEL = "protect-channel", "Held: a second proof is demanded of this reader, and there is no way for it."
    PROTECT_READER = "protect-reader", "Held: the label does not permit this reader."
    PROTECT_REVOKED = "protect-revoked", "The item was revoked for this recipient before it was told of it."

    # --- why a certificate of the directory is not encrypted to -----------------------------------------------------
    UNREADABLE = "unreadable", "The certificate cannot be read."
    AUTHORITY = "authority", "It is the certificate of a CA, not of a person."
    NOT_APPROVED = "not-approved", "Nobody has approved the certificate yet."
    WRONG_ADDRESS = "wrong-address", "The certificate names somebody else."
    EXPIRED = "expired", "The certificate of the directory has expired."
    NOT_YET_VALID = "not-yet-valid", "The certificate of the directory is not valid yet."
    KEY_KIND = "key-kind", "Nothing can be encrypted to a key of this kind."
    WEAK_KEY = "weak-key", "The key of the certificate is too short, or out of bounds."
    KEY_USAGE = "key-usage", "The key usage of the certificate does not allow encrypting to it."
    WRONG_PURPOSE = "wrong-purpose", "The extended key usage of the certificate is not that of mail."
    UNTRUSTED = "untrusted", "Nobody who is trusted vouches for the certificate."
    REVOKED = "revoked", "The certificate of the directory was revoked by its issuer."
    REVOCATION_UNREACHABLE = "revocation-unreachable", "Whether the certificate is revoked cannot be looked up now."


_WORDS = frozenset(Word)


def first_word(reason: str) -> str:
    """The word that a reason begins with, where an earlier version stored it in no other place; empty: none."""
    word = reason.partition(":")[0]
    return word if word in _WORDS else ""
