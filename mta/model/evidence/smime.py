"""What S/MIME was found, and what was done with it."""

from __future__ import annotations

from mta.model.evidence.reading import Json, flag, number, part, parts, text, texts, whole
from mta.model.frozen import frozen
from mta.model.smime_verdict import JudgedSigner, SmimeResult, SmimeVerdict


def verdict_to_json(verdict: SmimeVerdict) -> dict[str, object]:
    """What the S/MIME of a message is worth, and each signature in it."""
    return {
        "result": verdict.result.value,
        "reason": verdict.reason,
        "signers": [_signer_to_json(signer) for signer in verdict.signers],
        "encrypted": verdict.encrypted,
        "ciphers": list(verdict.ciphers),
        "authenticated": verdict.authenticated,
        "changed": list(verdict.changed),
    }


def verdict_from_json(raw: Json) -> SmimeVerdict:
    """What `verdict_to_json` wrote; a result of a later version is `unsupported`."""
    return SmimeVerdict(
        _result(raw),
        text(raw, "reason"),
        tuple(map(_signer_from_json, parts(raw, "signers"))),
        flag(raw, "encrypted"),
        flag(raw, "authenticated"),
        texts(raw, "ciphers"),
        texts(raw, "changed"),
    )


def _signer_to_json(signer: JudgedSigner) -> dict[str, object]:
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


def _signer_from_json(raw: Json) -> JudgedSigner:
    return JudgedSigner(
        _result(raw),
        text(raw, "reason"),
        whole(raw, "layer"),
        texts(raw, "addresses"),
        text(raw, "subject"),
        text(raw, "issuer"),
        text(raw, "serial"),
        text(raw, "sha256"),
        text(raw, "scheme"),
        text(raw, "digest"),
        None if raw.get("signing_time") is None else number(raw, "signing_time"),
    )


def _result(raw: Json) -> SmimeResult:
    try:
        return SmimeResult(text(raw, "result"))
    except ValueError:
        return SmimeResult.UNSUPPORTED


@frozen
class Reader:
    """Somebody a copy is encrypted to, and the certificate (SHA-256) with where it was found."""

    address: str
    sha256: str
    source: str
    rung: str


@frozen
class Protection:
    """What was done to the copy of some recipients: signed, encrypted, opened, or sealed for the portal.

    `contract` tells under which contract it was made: a form made under another is not sent. `signed` names the
    scheme and the certificate (SHA-256).
    """

    contract: str = ""
    profile: str = ""
    signed: tuple[str, str] | None = None
    encrypted: tuple[Reader, ...] = ()
    cipher: str = ""
    note: str = ""
    opened: SmimeVerdict | None = None
    decrypted: bool = False
    item: str = ""  # at the portal
    label: str = ""
    why: str = ""

    @classmethod
    def from_json(cls, raw: Json) -> Protection:
        """Of one entry of `protection` in the history, or of the detail of a form."""
        opened, signed = part(raw, "opened"), part(raw, "signed")
        return cls(
            text(raw, "contract"),
            text(raw, "profile"),
            (text(signed, "scheme"), text(signed, "sha256")) if signed else None,
            tuple(map(_reader, parts(raw, "encrypted"))),
            text(raw, "cipher"),
            text(raw, "note"),
            verdict_from_json(opened) if opened else None,
            flag(opened, "decrypted"),
            text(raw, "item"),
            text(raw, "label"),
            text(raw, "why"),
        )

    def to_json(self) -> dict[str, object]:
        """What is kept with the form, and told in the history. Of what goes to the portal, policy/protect.py tells."""
        if self.opened is not None:
            return {"opened": {**verdict_to_json(self.opened), "decrypted": self.decrypted}}
        scheme, digest = self.signed or ("", "")
        return {
            "contract": self.contract,
            "profile": self.profile,
            "signed": {"sha256": digest, "scheme": scheme} if self.signed else False,
            "encrypted": [_reader_to_json(reader) for reader in self.encrypted],
            **({"note": self.note} if self.note else {}),
            **({"cipher": self.cipher} if self.cipher else {}),
        }


def _reader(raw: Json) -> Reader:
    return Reader(text(raw, "for"), text(raw, "sha256"), text(raw, "source"), text(raw, "rung"))


def _reader_to_json(reader: Reader) -> dict[str, object]:
    return {"for": reader.address, "sha256": reader.sha256, "source": reader.source, "rung": reader.rung}
