"""How each recipient's copy of a message leaves under its contract: signed, encrypted, as its author wrote it, or not.

The contract's words are `outbound.smime` (docs/connectors.md). A copy that must be encrypted never leaves in clear:
where there is no certificate it goes back, is held, or leaves over a hop that is known to be the partner's, as the
contract says; where that cannot be told just now, it waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mta.contract.smime import Smime
from mta.model.attempt import Failure, Scope
from mta.model.directory import Candidate, DirectoryAnswer, DirectoryStatus
from mta.model.reply import Reply
from mta.model.word import Word
from mta.rfc.smime.kind import Kind


@dataclass(frozen=True, slots=True)
class Author:
    """Who could sign. `ours`: it is the mail of our own systems, its one author of a domain of ours with certificates.

    `able`: a certificate of the kind the contract wants is there; `trouble` says why not.
    """

    ours: bool
    able: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What the message is. `kind` is what it claims to be, `proven` whether it was found to be that inside."""

    kind: Kind
    proven: bool = False


@dataclass(frozen=True, slots=True)
class Copy:
    """How one recipient's copy leaves. `note` says why it is less than could be, for the trace."""

    sign: bool = False
    certificate: Candidate | None = None
    note: str = ""


def copy_for(smime: Smime, claim: Found, author: Author, answer: DirectoryAnswer | None) -> Copy | Failure:
    """How the copy of a recipient leaves, or why it does not. `answer` is None where nothing is ever encrypted."""
    if claim.kind.protected and smime.already_protected == "reject":
        text = "the contract takes no mail that its author has signed or encrypted"
        return _refused(Word.ALREADY_PROTECTED, f"the message is {claim.kind.value}, {text}", "Protected by its author")
    passes = smime.already_protected == "pass"
    sealed = passes and claim.proven and claim.kind in (Kind.ENCRYPTED, Kind.PGP_ENCRYPTED)
    if sealed:
        return Copy(note=f"{claim.kind.value} by its author, passed as it is")
    signed_before = passes and claim.proven and claim.kind in (Kind.SIGNED, Kind.OPAQUE, Kind.PGP_SIGNED)
    encrypting = _encrypting(smime, answer)
    if isinstance(encrypting, Failure) and to_portal(encrypting):
        return encrypting  # nothing of it leaves, so nothing has to be signed
    signing = Copy(note=f"{claim.kind.value} by its author") if signed_before else _signing(smime, author)
    if isinstance(signing, Failure):
        return signing
    if isinstance(encrypting, Failure):
        return encrypting
    note = "; ".join(filter(None, (signing.note, encrypting.note)))
    return Copy(signing.sign, encrypting.certificate, note)


def _signing(smime: Smime, author: Author) -> Copy | Failure:
    if smime.sign == "never":
        return Copy()
    if author.ours and author.able:
        return Copy(sign=True)
    trouble = author.trouble or "nobody here signs for its author"
    if smime.sign == "when-possible":
        return Copy(note=f"not signed: {trouble}")
    if not author.ours:  # waiting makes nobody ours
        return _refused(Word.SMIME_FOREIGN_AUTHOR, f"a signature is demanded, and {trouble}", "No signature possible")
    return _waits(Word.SMIME_NO_IDENTITY, f"a signature is demanded, and {trouble}")


def _encrypting(smime: Smime, answer: DirectoryAnswer | None) -> Copy | Failure:
    if smime.encrypt == "never" or answer is None:
        return Copy()
    if answer.status is DirectoryStatus.TEMPORARY:  # never taken for "no certificate"
        return _waits(Word.SMIME_DIRECTORY, f"the recipient's certificate cannot be looked up now: {answer.detail}")
    if answer.status is DirectoryStatus.FOUND and answer.chosen is not None:
        return Copy(certificate=answer.chosen)
    why = answer.detail or "none was found"
    if smime.encrypt == "when-possible":
        return Copy(note=f"not encrypted: no certificate ({why})")
    if smime.without_certificate == "tls":
        return Copy(note=f"not encrypted: no certificate ({why}); the contract is content with verified TLS")
    story = f"encryption is demanded, and there is no certificate of the recipient: {why}"
    if smime.without_certificate == "hold":
        text = "Held until there is a certificate of the recipient"
        reply = Reply(450, "4.7.5", (text,))
        return Failure(Scope.CONTRACT, Word.SMIME_NO_CERTIFICATE, story, reply, permanent=False, local=True)
    if smime.without_certificate == "portal":
        return _portal(story)
    return _refused(
        Word.SMIME_NO_CERTIFICATE, story, "Encryption is required, and no certificate of the recipient is known"
    )


def not_transformable(smime: Smime, copy: Copy, word: str, text: str) -> Failure | str:
    """What becomes of a copy whose message has a structure that nobody may sign: back, or a note why it is as it is.

    Readers could see different things in it, so a signature would say nothing, and encryption hide it from filters.
    """
    demanded = (copy.sign and smime.sign == "always") or (copy.certificate is not None and smime.encrypt == "required")
    if demanded and smime.without_certificate == "portal" and smime.encrypt == "required":
        return _portal(f"{word}: {text}")
    if demanded:
        return _refused(Word.SMIME_STRUCTURE, f"{word}: {text}", f"The message cannot be protected: {text}")
    return f"as it came: {text} ({word})"


def to_portal(failure: Failure) -> bool:
    """Whether a copy does not leave because it goes to the portal."""
    return failure.word is Word.SMIME_PORTAL


def _portal(story: str) -> Failure:
    """Where nobody takes it to the portal (mail of the relay itself, a vault that is gone) it goes back."""
    return _refused(Word.SMIME_PORTAL, story, "Encryption is required, and no certificate of the recipient is known")


def _waits(word: Word, story: str) -> Failure:
    # RFC 3463 §3.8: X.7.5 is a cryptographic failure
    reply = Reply(450, "4.7.5", ("Cannot be protected as required now",))
    return Failure(Scope.RECIPIENT, word, story, reply, permanent=False, local=True)


def _refused(word: Word, story: str, text: str) -> Failure:
    return Failure(Scope.RECIPIENT, word, story, Reply(550, "5.7.5", (text,)), permanent=True, local=True)


def envelopes(copies: Mapping[int, Copy], visible: Iterable[int]) -> list[tuple[int, ...]]:
    """Which recipients (places) get the same bytes: those that nobody may see together get an envelope of their own.

    What is encrypted names its readers, so a recipient in no header field (Bcc) is alone in it. `visible` are the
    places of those that stand in one.
    """
    addressees = frozenset(visible)
    groups: dict[tuple[bool, bool, int], list[int]] = {}
    for index, copy in sorted(copies.items()):
        encrypted = copy.certificate is not None
        alone = index if encrypted and index not in addressees else -1
        groups.setdefault((copy.sign, encrypted, alone), []).append(index)
    return [tuple(places) for places in groups.values()]
