"""Writes the Authentication-Results field: RFC 8601 §2.2, with the properties of RFC 8601 §2.7, 6008, 8617 and 9989."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mta.errors import LocalProtocolError
from mta.model.auth import ArcOutcome, AuthenticationFacts, AuthResult, DkimOutcome, DmarcOutcome, SpfOutcome

LINE = 78  # RFC 5322 §2.1.1: characters of a line, where it can be folded
MAX_VALUE = 255  # characters of a property's value
MAX_REASON = 300
MAX_SIGNATURES = 20

# RFC 2045 §5.1: what needs no quotes
_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+")
# RFC 8601 §2.2: a pvalue may also be an address, or `@` and a domain
_ADDRESS = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]*@[0-9A-Za-z][0-9A-Za-z.\-]*")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def authentication_results(
    authserv_id: str, facts: AuthenticationFacts, *, mail_from: str = "", client: str = ""
) -> bytes:
    """The whole field, folded, with its CRLF.

    `mail_from` is the reverse-path (else the domain that was checked is named), `client` the address of the peer.
    What strangers chose is printable ASCII afterwards, quoted and bounded. Raises LocalProtocolError for an
    `authserv_id` that is none.
    """
    if not is_token(authserv_id):
        raise LocalProtocolError(f"an authserv-id is a host name or the like, not {authserv_id!r}")
    lines = [f"Authentication-Results: {authserv_id}"]
    for words in _results(facts, mail_from, client):
        lines[-1] += ";"
        lines.extend(fold(words))
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def _results(facts: AuthenticationFacts, mail_from: str, client: str) -> Iterator[list[str]]:
    """The parts of each result: what stands together on a line stays together."""
    yield _spf(facts.spf_helo, "smtp.helo", facts.spf_helo.domain)
    yield _spf(facts.spf_mail_from, "smtp.mailfrom", mail_from or facts.spf_mail_from.domain)
    if not facts.dkim:
        yield ["dkim=none"]
    yield from map(_dkim, facts.dkim[:MAX_SIGNATURES])
    if facts.arc is not None:
        yield _arc(facts.arc, client)
    if facts.dmarc is not None:
        yield _dmarc(facts.dmarc)


def _spf(outcome: SpfOutcome, key: str, identity: str) -> list[str]:
    return [f"spf={outcome.result.value}", *reason_of(outcome.reason), *property_of(key, identity)]


def _dkim(outcome: DkimOutcome) -> list[str]:
    words = [f"dkim={outcome.result.value}"]
    if outcome.key_bits:
        words.append(f"({outcome.key_bits}-bit key)")
    if outcome.result is not AuthResult.PASS:
        words += reason_of(outcome.reason)
    return [
        *words,
        *property_of("header.d", outcome.domain),
        *property_of("header.i", outcome.identity),
        *property_of("header.s", outcome.selector),
        *property_of("header.a", outcome.algorithm),
        *property_of("header.b", outcome.tag),  # RFC 6008 §4: tells signatures of one domain apart
    ]


def _arc(outcome: ArcOutcome, client: str) -> list[str]:
    words = [f"arc={outcome.result.value}"]
    if outcome.result is AuthResult.NONE:
        return words
    if outcome.result is not AuthResult.PASS:
        words += reason_of(outcome.reason)
    elif outcome.sealers:
        words.append(f"({_comment(f'i={len(outcome.sealers)} sealed by {outcome.sealers[0]}')})")
    if outcome.result is AuthResult.PASS:
        # RFC 8617 §5.2: 0 where the signature of every instance holds
        words.append(f"header.oldest-pass={0 if outcome.oldest_pass == 1 else outcome.oldest_pass}")
    return [*words, *property_of("smtp.remote-ip", client)]  # RFC 8617 §10.2


def _dmarc(outcome: DmarcOutcome) -> list[str]:
    words = [f"dmarc={outcome.result.value}"]
    decided = outcome.result in (AuthResult.PASS, AuthResult.FAIL) and bool(outcome.policy)
    if outcome.policy:
        words.append(f"({_comment(f'p={outcome.policy}')})")
    if outcome.result is not AuthResult.PASS:
        words += reason_of(outcome.reason)
    # RFC 9989 §9.1: the policy as evaluated, and the author's domain
    return [
        *words,
        *property_of("policy.dmarc", outcome.policy if decided else ""),
        *property_of("header.from", outcome.domain),
    ]


def is_token(text: str) -> bool:
    """Whether this can be an authserv-id: a word that needs no quotes."""
    return _TOKEN.fullmatch(text) is not None


def reason_of(text: str) -> list[str]:
    """`reason="..."`, bounded; nothing for an empty text."""
    return [f"reason={_quoted(printable(text)[:MAX_REASON])}"] if text else []


def property_of(key: str, text: str) -> list[str]:
    """`key=value`, quoted where it has to be, bounded; nothing for an empty text."""
    if not text:
        return []
    value = printable(text)[:MAX_VALUE]
    bare = _TOKEN.fullmatch(value) or _ADDRESS.fullmatch(value)
    return [f"{key}={value if bare else _quoted(value)}"]


def printable(text: str) -> str:
    """Never a line end, a NUL or anything else that could become a field of its own (RFC 8601 §7.1)."""
    return text if text.isascii() and text.isprintable() else _UNPRINTABLE.sub("?", text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _comment(text: str) -> str:
    return re.sub(r"([\\()])", r"\\\1", printable(text)[:MAX_VALUE])


def fold(words: list[str], field: str = "") -> list[str]:
    """One result on lines that begin with a tab, or a whole `field`; broken between its parts only."""
    lines = [f"{field} {words[0]}" if field else "\t" + words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) > LINE:
            lines.append("\t " + word)
        else:
            lines[-1] += " " + word
    return lines
