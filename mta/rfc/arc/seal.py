"""Adds an ARC set to a message: RFC 8617 §5.1. Optional; the private key stays where it is."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from mta.errors import LocalProtocolError
from mta.model.auth import AuthResult
from mta.rfc.arc.parse import MOST, SEAL, collect, newest_instance, sealed_as_failed
from mta.rfc.arc.verify import RELAXED, seal_input
from mta.rfc.dkim.canonicalize import Headers, relaxed_field
from mta.rfc.dkim.sign import Signer, signed_names
from mta.rfc.dkim.write import fold, insert_signature

_VERDICTS = {AuthResult.PASS: "pass", AuthResult.FAIL: "fail"}


@dataclass(frozen=True, slots=True)
class Sealing:
    """What a seal testifies to.

    `results` is the value of an Authentication-Results field (`mx.example; spf=pass ...`), folded with CRLF where it
    is long; `chain` what `check` found on arrival; `names` replaces the usual choice of signed header fields.
    """

    results: bytes
    chain: AuthResult
    names: tuple[bytes, ...] = ()


def seal(headers: Headers, body_hash: bytes, signer: Signer, sealing: Sealing, now: float) -> bytes:
    """The three fields of the next set, to be put in front of the message as it leaves; they end in CRLF.

    `body_hash` is that of `dkim.sign.BODY`. Empty where there is nothing to add to: the chain is sealed as failed
    already, has 50 sets, or its state is unknown (TEMPERROR). Raises LocalProtocolError for results that are no value.
    """
    block = headers.block
    instance = newest_instance(block) + 1
    verdict = "none" if instance == 1 else _VERDICTS.get(sealing.chain, "")
    if not verdict or instance > MOST or sealed_as_failed(block):
        return b""
    results = b"ARC-Authentication-Results: i=%d;\r\n %b\r\n" % (instance, _checked(sealing.results))
    signature = _message_signature(headers, body_hash, signer, (instance, sealing.names), now)
    tags = [("a", signer.algorithm), ("b", ""), ("cv", verdict), *_who(signer, instance, now)]
    value = fold(tags, len("ARC-Seal:"))
    digest = hashlib.sha256()
    if verdict == "pass":
        # RFC 8617 §5.1.2: a failed chain is left out, for nobody could say what it is
        for arc_set in collect(block):
            digest.update(seal_input(arc_set, headers) + headers.canonical(arc_set.seal.field, RELAXED))
    for field in (results, signature):
        name, _, text = field.partition(b":")
        digest.update(relaxed_field(name, text))
    digest.update(relaxed_field(SEAL, value.encode())[:-2])
    return b"ARC-Seal:" + insert_signature(value, signer.sign(digest.digest())) + signature + results


def _message_signature(
    headers: Headers, body_hash: bytes, signer: Signer, position: tuple[int, tuple[bytes, ...]], now: float
) -> bytes:
    instance, names = position
    # RFC 8617 §4.1.2: signatures that are there should be covered
    names = names or (*signed_names(headers), *[b"dkim-signature"] * len(headers.named(b"dkim-signature")))
    tags = [("a", signer.algorithm), ("b", ""), ("bh", base64.b64encode(body_hash).decode()), ("c", "relaxed/relaxed")]
    (domain, *others) = _who(signer, instance, now)
    value = fold([*tags, domain, ("h", b":".join(names).decode()), *others], len("ARC-Message-Signature:"))
    unsigned = relaxed_field(b"ARC-Message-Signature", value.encode())[:-2]
    digest = headers.digest(names, RELAXED, None, unsigned)
    return b"ARC-Message-Signature:" + insert_signature(value, signer.sign(digest))


def _who(signer: Signer, instance: int, now: float) -> list[tuple[str, str]]:
    return [("d", signer.domain), ("i", str(instance)), ("s", signer.selector), ("t", str(int(now)))]


def _checked(results: bytes) -> bytes:
    unfolded = results.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    if not unfolded.strip() or any(octet < 32 and octet != 9 for octet in unfolded):
        raise LocalProtocolError("the results for ARC-Authentication-Results are no value of a header field")
    return results.strip()
