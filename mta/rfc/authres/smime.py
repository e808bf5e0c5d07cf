"""Writes the verdict on S/MIME into the header: `smime=` of RFC 7281, and X-MTA-SMIME for the rules of mail clients.

Authentication-Results: mx.contoso.example; smime=pass body.smime-identifier=anna@fabrikam.example ...
X-MTA-SMIME: good; signer=anna@fabrikam.example; encrypted=aes256-gcm; authenticated=yes
"""

from __future__ import annotations

from mta.errors import LocalProtocolError
from mta.model.smime_verdict import SmimeResult, SmimeVerdict
from mta.rfc.authres.write import fold, is_token, printable, property_of, reason_of

FIELD = b"x-mta-smime"
MAX_NAMES = 10

# RFC 7281 §3.2 with the words of RFC 8601 §2.7
_WORDS = {
    SmimeResult.GOOD: "pass",
    SmimeResult.UNSIGNED: "none",
    SmimeResult.ENCRYPTED: "none",
    SmimeResult.NOT_THE_AUTHOR: "policy",
    SmimeResult.UNKNOWN: "temperror",
    SmimeResult.UNTRUSTED: "fail",
    SmimeResult.WEAK: "policy",
    SmimeResult.UNSUPPORTED: "neutral",
    SmimeResult.BAD: "fail",
    SmimeResult.MALFORMED: "neutral",
}


def smime_fields(authserv_id: str, verdict: SmimeVerdict) -> bytes:
    """Both fields, folded, each with its CRLF. What strangers chose is printable ASCII afterwards, and bounded.

    Raises LocalProtocolError for an `authserv_id` that is none.
    """
    if not is_token(authserv_id):
        raise LocalProtocolError(f"an authserv-id is a host name or the like, not {authserv_id!r}")
    lines = [f"Authentication-Results: {authserv_id};"]
    lines.extend(fold(_result(verdict)))
    lines.extend(fold(_summary(verdict), "X-MTA-SMIME:"))
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def _result(verdict: SmimeVerdict) -> list[str]:
    """One for the whole message, of the signature that decides: a pass beside a fail would be read as a pass."""
    words = [f"smime={_WORDS[verdict.result]}"]
    signer = verdict.decisive
    if not verdict.good:
        words += reason_of(f"{verdict.result.value}: {verdict.reason}" if verdict.reason else verdict.result.value)
    if signer is None:
        return words
    return [
        *words,
        *property_of("body.smime-identifier", signer.addresses[0] if signer.addresses else ""),
        *property_of("body.smime-serial", signer.serial),
        *property_of("body.smime-issuer", signer.issuer),
    ]


def _summary(verdict: SmimeVerdict) -> list[str]:
    """The parts of X-MTA-SMIME, each but the last with its semicolon: the word first, where rules look for it."""
    parts = [verdict.result.value]
    if verdict.good and verdict.decisive is not None:
        parts += property_of("signer", verdict.decisive.addresses[0])
    if verdict.encrypted:
        parts += property_of("encrypted", ",".join(verdict.ciphers[:MAX_NAMES]) or "yes")
        parts.append(f"authenticated={'yes' if verdict.authenticated else 'no'}")
    if verdict.changed:
        parts += property_of("changed", ",".join(verdict.changed[:MAX_NAMES]))
    if verdict.reason:
        parts += reason_of(printable(verdict.reason))
    return [*(f"{part};" for part in parts[:-1]), parts[-1]]
