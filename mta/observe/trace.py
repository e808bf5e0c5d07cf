"""Evidence: what a connection showed, in JSON types, as it is kept with the message and shown by `mta trace`."""

from __future__ import annotations

import functools
from typing import Any

from mta.model.attempt import HostAttempt
from mta.model.auth import ArcOutcome, AuthenticationFacts, AuthResult, DmarcOutcome, SenderOutcome, SpfOutcome
from mta.model.author import FromField
from mta.model.reply import Reply
from mta.model.smime_verdict import JudgedSigner, SmimeVerdict
from mta.model.tls import CertificateFacts, TlsFacts


@functools.lru_cache(maxsize=1024)
def certificate_evidence(certificate: CertificateFacts) -> dict[str, Any]:
    """One certificate: enough to find it again and to see who must act; treat the result as read-only."""
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "names": [*certificate.dns_names, *certificate.ip_addresses],
        "sha256": certificate.sha256,
        "spki_sha256": certificate.spki_sha256,
        "not_before": int(certificate.not_before),
        "not_after": int(certificate.not_after),
        "key": certificate.key,
        "signed": certificate.signed,
        **({"usages": list(certificate.key_usage_oids)} if certificate.key_usage_oids else {}),
    }


def days_left(certificate: CertificateFacts, now: float) -> int:
    """Whole days until it expires at epoch second `now`; less than 0: so many days ago."""
    return int((certificate.not_after - now) // 86_400)


@functools.lru_cache(maxsize=4096)
def tls_evidence(facts: TlsFacts | None) -> dict[str, Any]:
    """A handshake; treat the result as read-only (a kept connection's is shared by its messages)."""
    if facts is None:
        return {"used": False}
    evidence: dict[str, Any] = {"used": True, "version": facts.version, "cipher": facts.cipher}
    if facts.group:
        evidence["group"] = facts.group
    if facts.sni:
        evidence["sni"] = facts.sni
    if facts.staple:
        evidence["stapled"] = True
    evidence["chain"] = [certificate_evidence(certificate) for certificate in facts.chain]
    return evidence


def smime_evidence(verdict: SmimeVerdict) -> dict[str, Any]:
    """What the S/MIME of a message is worth, and each signature in it."""
    return {
        "result": verdict.result.value,
        "reason": verdict.reason,
        "signers": [_signer(signer) for signer in verdict.signers],
        "encrypted": verdict.encrypted,
        "ciphers": list(verdict.ciphers),
        "authenticated": verdict.authenticated,
        "changed": list(verdict.changed),
    }


def _signer(signer: JudgedSigner) -> dict[str, Any]:
    return {
        "result": signer.result.value,
        "reason": signer.reason,
        "layer": signer.layer,
        "addresses": list(signer.addresses),
        "subject": signer.subject,
        "issuer": signer.issuer,
        "serial": signer.serial,
        "sha256": signer.fingerprint,
        "scheme": signer.scheme,
        "digest": signer.digest,
        "signing_time": signer.signing_time,
    }


def author_evidence(author: FromField) -> dict[str, Any]:
    """Whom From names, and what was odd about it."""
    evidence: dict[str, Any] = {"authors": [str(mailbox) for mailbox in author.authors], "count": author.count}
    return evidence | ({"error": author.error} if author.error else {})


def authentication_evidence(facts: AuthenticationFacts) -> dict[str, Any]:
    """What SPF, DKIM, DMARC and ARC found."""
    return {
        "spf": {"helo": _spf(facts.spf_helo), "mail_from": _spf(facts.spf_mail_from)},
        "dkim": [
            {
                "result": outcome.result.value,
                "domain": outcome.domain,
                "selector": outcome.selector,
                "algorithm": outcome.algorithm,
                "bits": outcome.key_bits,
                "reason": outcome.reason,
                **({"testing": True} if outcome.testing else {}),
            }
            for outcome in facts.dkim
        ],
        "dmarc": _dmarc(facts.dmarc or DmarcOutcome(AuthResult.NONE)),
        "arc": _arc(facts.arc or ArcOutcome(AuthResult.NONE)),
        "sender": _sender(facts.sender or SenderOutcome(AuthResult.NONE)),
    }


def _spf(outcome: SpfOutcome) -> dict[str, Any]:
    return {"result": outcome.result.value, "domain": outcome.domain, "reason": outcome.reason}


def _dmarc(outcome: DmarcOutcome) -> dict[str, Any]:
    return {
        "result": outcome.result.value,
        "policy": outcome.policy,
        "domain": outcome.domain,
        "policy_domain": outcome.policy_domain,
        "reason": outcome.reason,
    }


def _sender(outcome: SenderOutcome) -> dict[str, Any]:
    return {"result": outcome.result.value, "domain": outcome.domain, "reason": outcome.reason}


def _arc(outcome: ArcOutcome) -> dict[str, Any]:
    return {"result": outcome.result.value, "sealers": list(outcome.sealers), "reason": outcome.reason}


def reply_evidence(reply: Reply | None) -> str:
    """A reply as one line; empty if there was none."""
    return str(reply) if reply else ""


def attempt_evidence(attempt: HostAttempt) -> dict[str, Any]:
    """One host that was tried."""
    evidence: dict[str, Any] = {
        "host": attempt.host,
        "port": attempt.port,
        "address": attempt.address,
        "seconds": round(attempt.seconds, 4),
        "requirement": attempt.requirement,
        "verdict": attempt.verdict,
        "tls": tls_evidence(attempt.tls),
    }
    if attempt.tls and attempt.tls.leaf:
        evidence["days_left"] = days_left(attempt.tls.leaf, attempt.started)
    if attempt.revocation:
        evidence["revocation"] = attempt.revocation
    if attempt.published:
        evidence["published"] = attempt.published
    if attempt.reused:
        evidence["reused"] = True
    if attempt.tls_given_up:
        evidence["tls_given_up"] = attempt.tls_given_up.reason
    if attempt.would:
        evidence["would"] = attempt.would
    if attempt.failure:
        evidence["failure"] = {
            "scope": attempt.failure.scope.value,
            "word": attempt.failure.word,
            "permanent": attempt.failure.permanent,
            "reply": reply_evidence(attempt.failure.reply),
            "reason": attempt.failure.reason,
        }
    return evidence
