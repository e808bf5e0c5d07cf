"""Judges what the S/MIME of a message is worth: whose signature it is, and whether its certificate is believed.

A message is `good` only if everything is: every signature of every layer holds and leads to an accepted CA, and the
innermost one, over what the reader will see, is by the one mailbox that the From names. A signature around ciphertext
alone is over nothing that a reader sees: anybody can put theirs around what a stranger has encrypted. A Sender field
does not count: no reader looks at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mta.model.author import FromField
from mta.model.opened import Fault, OpenedMessage
from mta.model.smime import SignatureStatus, SignerOutcome
from mta.model.smime_verdict import JudgedSigner, SmimeResult, SmimeVerdict, worst
from mta.model.tls import PathFault, PathVerdict
from mta.rfc.pkix.certificate import certificate_facts
from mta.rfc.pkix.person import person_facts
from mta.rfc.smtp.address import AddressError, parse_mailbox

_BY_STATUS = {
    SignatureStatus.BAD: SmimeResult.BAD,
    SignatureStatus.UNSUPPORTED: SmimeResult.UNSUPPORTED,
    SignatureStatus.REFUSED: SmimeResult.WEAK,
    SignatureStatus.MALFORMED: SmimeResult.MALFORMED,
}
_BY_FAULT = {
    Fault.MALFORMED: SmimeResult.MALFORMED,
    Fault.UNSUPPORTED: SmimeResult.UNSUPPORTED,
    Fault.LOCKED: SmimeResult.ENCRYPTED,
}
_NO_PATH = PathVerdict(PathFault.UNTRUSTED, "its certificate was not judged")
_NOT_SIGNED = "the message as a whole is not signed"
_SIGNED_CLOSED = "signed was the ciphertext alone: whoever did it need not have known what is inside"
_ONLY_ENCRYPTED = "it is encrypted, and nobody has signed what was inside"


def to_judge(opened: OpenedMessage) -> tuple[tuple[bytes, tuple[bytes, ...]], ...]:
    """The certificates whose paths are to be judged, each with those that lay by; none of signatures that are wrong."""
    return tuple(
        (signer.certificate, signed.certificates)
        for signed in opened.signatures
        for signer in signed.signers
        if signer.status is SignatureStatus.GOOD and signer.certificate is not None
    )


def lacks_signer(opened: OpenedMessage) -> bool:
    """Whether the certificate of a signer did not travel along; RFC 8550 §2.3: it may be found in a directory."""
    return any(signer.certificate is None for signed in opened.signatures for signer in signed.signers)


def judge_message(opened: OpenedMessage, author: FromField, paths: Mapping[bytes, PathVerdict]) -> SmimeVerdict:
    """The verdict on a message that its header says is from `author`; `paths` holds those of `to_judge`."""
    signers = _judged_signers(opened, author, paths)
    result, reason = _result(opened, signers)
    return SmimeVerdict(
        result=result,
        reason=reason,
        signers=signers,
        encrypted=opened.encrypted,
        authenticated=_is_authenticated(opened, signers),
        ciphers=tuple(envelope.cipher for envelope in opened.envelopes),
        changed=opened.differing,
    )


def _result(opened: OpenedMessage, signers: tuple[JudgedSigner, ...]) -> tuple[SmimeResult, str]:
    if signers:
        decisive = worst(signers)
        if opened.signed_closed and decisive.result is SmimeResult.GOOD:
            result = _BY_FAULT.get(opened.fault, SmimeResult.UNSIGNED)
            return result, f"{opened.reason}; {_SIGNED_CLOSED}" if opened.reason else _SIGNED_CLOSED
        if opened.fault in (Fault.NONE, Fault.LOCKED) or decisive.result in (SmimeResult.BAD, SmimeResult.MALFORMED):
            return decisive.result, decisive.reason
    if opened.fault is not Fault.NONE:
        return _BY_FAULT[opened.fault], opened.reason
    wrong = next((signed.reason for signed in opened.signatures if signed.reason), "")
    return SmimeResult.UNSIGNED, wrong or (_ONLY_ENCRYPTED if opened.encrypted else _NOT_SIGNED)


def _judged_signers(
    opened: OpenedMessage, author: FromField, paths: Mapping[bytes, PathVerdict]
) -> tuple[JudgedSigner, ...]:
    judged: list[JudgedSigner] = []
    innermost = len(opened.signatures) - 1
    for layer, signed in enumerate(opened.signatures):
        signers = [_signer(signer, layer, paths) for signer in signed.signers]
        if layer == innermost:
            signers = _by_author(signers, author, opened.author)
        if layer == innermost and opened.signed_closed:
            signers = [replace(signer, is_author=False, reason=signer.reason or _SIGNED_CLOSED) for signer in signers]
        judged.extend(signers)
    return tuple(judged)


def _signer(signer: SignerOutcome, layer: int, paths: Mapping[bytes, PathVerdict]) -> JudgedSigner:
    """One signature by itself: its mathematics, then its certificate's path."""
    result, reason = SmimeResult.GOOD, ""
    if signer.status is not SignatureStatus.GOOD:
        result, reason = _BY_STATUS[signer.status], signer.reason
    elif signer.certificate is None:
        result, reason = SmimeResult.MALFORMED, "the signer's certificate is missing"
    else:
        path = paths.get(signer.certificate, _NO_PATH)
        if path.temporary:
            result, reason = SmimeResult.UNKNOWN, path.detail or path.fault
        elif not path.trusted:
            result, reason = SmimeResult.UNTRUSTED, _why_not(path)
    judged = JudgedSigner(
        result, reason, layer, scheme=signer.scheme, digest=signer.digest, signing_time=signer.signing_time
    )
    return _described(judged, signer.certificate)


def _why_not(path: PathVerdict) -> str:
    """Why a path is not believed: the fault where it says more than `untrusted`, and the judge's words."""
    fault = "" if path.fault == PathFault.UNTRUSTED else path.fault
    return ": ".join(filter(None, (fault, path.detail))) or path.fault


def _described(judged: JudgedSigner, certificate: bytes | None) -> JudgedSigner:
    """With what people know a certificate by."""
    try:
        facts = certificate_facts(certificate or b"")
        person = person_facts(facts.der)
    except ValueError:
        return judged
    return replace(
        judged,
        addresses=person.emails,
        subject=facts.subject,
        issuer=facts.issuer,
        serial=facts.serial,
        fingerprint=facts.sha256,
    )


# --- whose signature it is --------------------------------------------------------------------------------------------


def _by_author(signers: list[JudgedSigner], author: FromField, inside: FromField | None) -> list[JudgedSigner]:
    """The signatures over what the reader sees: if nobody among those who are believed is the author, none is good.

    Further signers beside the author do no harm; they have been judged like everybody.
    """
    doubt = _doubt_of_author(author, inside)
    wanted = author.authors[0].key if author.authors else ""
    names = [address for signer in signers if signer.result is SmimeResult.GOOD for address in signer.addresses]
    if not doubt and wanted in map(address_key, names):
        return [replace(each, is_author=wanted in map(address_key, each.addresses)) for each in signers]
    shown = ", ".join(names[:5]) or "nobody's address"
    reason = doubt or f"the certificate names {shown}, the From {author.authors[0]}"
    return [_but(signer, reason) if signer.result is SmimeResult.GOOD else signer for signer in signers]


def _doubt_of_author(author: FromField, inside: FromField | None) -> str:
    """Why nobody can be the author; `inside` is the protected From (RFC 9788 §4.4), which some readers show."""
    if author.ambiguous:
        return f"the From is ambiguous: {author.error or 'it names several'}"
    if not author.authors:
        return "the message has no From"
    if inside is not None and (inside.ambiguous or [each.key for each in inside.authors] != [author.authors[0].key]):
        shown = ", ".join(str(each) for each in inside.authors) or "nobody"
        return f"the protected From names {shown}, the one outside {author.authors[0]}"
    return ""


def address_key(text: str) -> str:
    """What two spellings of an address in a certificate share (RFC 9598 §5: U-labels are A-labels); empty if none."""
    try:
        return parse_mailbox(text).key
    except AddressError:
        return ""


def _but(signer: JudgedSigner, reason: str) -> JudgedSigner:
    return replace(signer, result=SmimeResult.NOT_THE_AUTHOR, reason=reason)


def _is_authenticated(opened: OpenedMessage, signers: tuple[JudgedSigner, ...]) -> bool:
    """Whether changes on the way would have been noticed: an attacker can shape what CBC decrypts to.

    Only a signature inside of them that holds counts, whoever made it; or every envelope noticed changes by itself.
    """
    holds = (SmimeResult.GOOD, SmimeResult.NOT_THE_AUTHOR)
    if signers and not opened.signed_closed and all(signer.result in holds for signer in signers):
        return True
    sure = all(envelope.authenticated and envelope.content is not None for envelope in opened.envelopes)
    return bool(opened.envelopes) and sure
