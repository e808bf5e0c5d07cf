"""`mta smime sign|encrypt|decrypt|verify`: S/MIME of a whole message on standard input, by hand."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from mta.app.directory import open_directory, open_judge
from mta.app.load import load
from mta.app.smime import anchored_judge, read_certificates, read_lists, read_own
from mta.contract.configuration import Configuration
from mta.errors import ConfigurationError, SmimeError, UsageError
from mta.model.address import Mailbox
from mta.model.evidence.smime import verdict_to_json
from mta.model.message import HeaderBlock
from mta.model.opened import OpenedMessage
from mta.model.smime_verdict import SmimeVerdict
from mta.model.tls import PathVerdict
from mta.policy.directory import certificates_of
from mta.policy.smime import judge_message, lacks_signer, to_judge
from mta.ports import CertificateJudge
from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import scan_header
from mta.rfc.smime.algorithms import Pieces
from mta.rfc.smime.compose import HeaderProtection, NotTransformable, Protection, protect_message
from mta.rfc.smime.decrypt import DecryptionKey
from mta.rfc.smime.encrypt import enveloped_pieces, prepare_recipient
from mta.rfc.smime.message import decrypted_message, open_message
from mta.rfc.smime.profile import PROFILES, Profile
from mta.rfc.smime.sign import Signer, SigningIdentity, prepare_signer, signed_data

_FROM_TOKENS = 10_240
_BARE_LF = re.compile(rb"(?<!\r)\n")
_ARMOR = re.compile(rb"\s*-----BEGIN (?:PKCS7|CMS)-----\s([A-Za-z0-9+/=\s]+)-----END ")


@dataclass(frozen=True, slots=True)
class SmimeOptions:
    """The words of the commands; paths are of files."""

    certificates: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    revocation: str = "soft"
    profile: str = "default"
    header_protection: HeaderProtection = "none"
    opaque: bool = False
    password_file: str = field(default="", repr=False)
    config: str = ""
    now: float | None = None
    json_output: bool = False

    @property
    def moment(self) -> float:
        """The time that counts."""
        return time.time() if self.now is None else self.now


def sign(options: SmimeOptions) -> int:
    """Write the message signed by every --key. Raises UsageError."""
    if not options.keys:
        raise UsageError("--key: whose signature?")
    return _protect(options, encrypt=False)


def encrypt(options: SmimeOptions) -> int:
    """Write the message encrypted to every --recipient, signed before if there is a --key. Raises UsageError."""
    if not options.recipients:
        raise UsageError("--recipient: encrypted to whom?")
    return _protect(options, encrypt=True)


def decrypt(options: SmimeOptions) -> int:
    """Write the message without its encryption; or say why not, and 1. Raises UsageError."""
    if not options.keys:
        raise UsageError("--key: decrypted with which key?")
    raw, is_message = _message()
    block = scan_header(raw, len(raw))
    opened, verdict = _judged(raw, block, options)
    if opened.decrypted is None:
        reason = opened.reason or "the message as a whole is not encrypted"
        _report({**verdict_to_json(verdict), "reason": reason}, options, f"mta: {reason}")
        return 1
    plain = decrypted_message(raw, opened, trust_author=verdict.good, block=block) if is_message else opened.decrypted
    if options.json_output:
        document = {**verdict_to_json(verdict), "message": base64.b64encode(plain).decode("ascii")}
        print(json.dumps(document, indent=2))
        return 0
    if not verdict.authenticated:
        print("mta: not authenticated: whoever carried this message may have changed it", file=sys.stderr)
    sys.stdout.buffer.write(plain)
    return 0


def verify(options: SmimeOptions) -> int:
    """Say what the signatures are worth; 0 only if the author has signed, and is believed. Raises UsageError."""
    raw, _ = _message()
    _, verdict = _judged(raw, scan_header(raw, len(raw)), options)
    print(json.dumps(verdict_to_json(verdict), indent=2) if options.json_output else _in_words(verdict))
    return 0 if verdict.good else 1


def _protect(options: SmimeOptions, *, encrypt: bool) -> int:
    raw, _ = _message()
    profile = PROFILES.get(options.profile)
    if profile is None:
        raise UsageError(f"--profile: expected one of {', '.join(PROFILES)}, saw {options.profile!r}")
    made = protect_message(raw, _protection(options, profile, encrypt))
    if isinstance(made, NotTransformable):
        _report({"result": made.word, "reason": made.text}, options, f"mta: {made.word}: {made.text}")
        return 1
    if options.json_output:
        print(json.dumps({"result": "done", "reason": "", "message": base64.b64encode(made).decode("ascii")}, indent=2))
    else:
        sys.stdout.buffer.write(made)
    return 0


def _protection(options: SmimeOptions, profile: Profile, encrypt: bool) -> Protection:
    signers = _signers(options, profile)
    recipients = [_recipient(der, profile) for der in read_certificates(options.recipients)] if encrypt else []

    def signature(entity: Pieces) -> bytes:
        return signed_data(signers, entity, detached=not options.opaque, signing_time=options.moment)

    def envelope(entity: Pieces) -> Iterator[bytes]:
        return enveloped_pieces(recipients, entity, profile, os.urandom)

    return Protection(
        random=os.urandom,
        sign=signature if signers else None,
        encrypt=envelope if encrypt else None,
        detached=not options.opaque,
        digests=tuple(signer.digest for signer in signers),
        authenticated=profile.authenticated,
        headers=options.header_protection,
    )


def _signers(options: SmimeOptions, profile: Profile) -> list[Signer]:
    """Everybody who can sign: a PKCS #12 file often holds a key for decrypting as well."""
    signers, problems = [], []
    for own in read_own(options.certificates, options.keys, _password(options)) if options.keys else ():
        try:
            signers.append(prepare_signer(SigningIdentity(own.certificate, own.chain, own.key), profile))
        except SmimeError as error:
            problems.append(f"{own.place}: {error}")
    if problems and not signers:
        raise UsageError("; ".join(problems))
    return signers


def _recipient(der: bytes, profile: Profile) -> Any:
    try:
        return prepare_recipient(der, profile)
    except SmimeError as error:
        raise UsageError(f"--recipient: {error}") from error


def _judged(raw: bytes, block: HeaderBlock, options: SmimeOptions) -> tuple[OpenedMessage, SmimeVerdict]:
    """The message opened with the keys, and the verdict by the anchors."""
    own = read_own(options.certificates, options.keys, _password(options)) if options.keys else ()
    anchors = read_certificates(options.trust)
    known = (*read_certificates(options.certificates), *anchors)
    keys, author = [DecryptionKey(each.certificate, each.key) for each in own], parse_from(block, _FROM_TOKENS)
    opened = open_message(raw, keys, block, known=known)
    configuration = _configured(options) if lacks_signer(opened) and not author.ambiguous and author.authors else None
    if configuration is not None:
        found = asyncio.run(_in_directory(configuration, author.authors[0]))
        opened = open_message(raw, keys, block, known=(*known, *found))

    async def paths() -> dict[bytes, PathVerdict]:
        async with _judge(options, anchors) as judge:
            asked = to_judge(opened)
            return {der: await judge.judge(der, (*others, *known), "sign", options.moment) for der, others in asked}

    return opened, judge_message(opened, author, asyncio.run(paths()))


def _configured(options: SmimeOptions) -> Configuration | None:
    """The configuration, if there is one that can be read."""
    if not options.config or not os.path.exists(options.config):
        return None
    try:
        return load(options.config)
    except ConfigurationError:
        return None


async def _in_directory(configuration: Configuration, author: Mailbox) -> tuple[bytes, ...]:
    """The author's certificates in the directory: one that did not travel along may be there (RFC 8550 §2.3)."""
    async with open_directory(configuration) as directory:
        return certificates_of(await directory.lookup(author, thorough=True))


def _judge(options: SmimeOptions, anchors: Sequence[bytes]) -> AbstractAsyncContextManager[CertificateJudge]:
    """Who believes `anchors`; where none were given, the judge of the configuration, if there is one."""
    if not anchors and options.config and os.path.exists(options.config):
        try:
            return open_judge(load(options.config))
        except ConfigurationError:
            print(f"{options.config} has problems (see mta check); judged without it", file=sys.stderr)
    return nullcontext(anchored_judge(anchors, read_lists(options.lists), options.revocation))


def _message() -> tuple[bytes, bool]:
    """Standard input with the line ends it has on the wire, and whether it is a message: CMS alone becomes one."""
    raw = sys.stdin.buffer.read()
    armor = _ARMOR.match(raw)
    cms = base64.b64decode(armor[1]) if armor else raw if _is_cms(raw) else b""
    if cms:
        head = b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        return head + cms, False
    if raw.startswith(b"From "):  # the line that mbox files put in front of each message
        raw = raw.partition(b"\n")[2]
    return _BARE_LF.sub(b"\r\n", raw), True


def _is_cms(raw: bytes) -> bool:
    """Whether this is DER or BER and no mail, which may begin with a 0, too: no field has a name with such octets."""
    if raw[:1] != b"\x30" or len(raw) < 3:
        return False
    return raw[1] >= 0x80 or (raw[1] == len(raw) - 2 and raw[2] == 0x06)  # X.690 §8.1.3.4: below 128 octets, one octet


def _password(options: SmimeOptions) -> str:
    if not options.password_file:
        return ""
    try:
        with open(options.password_file, encoding="utf-8") as file:
            return file.readline(4096).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--password-file: {options.password_file} cannot be read: {error}") from error


def _report(document: dict[str, object], options: SmimeOptions, words: str) -> None:
    if options.json_output:
        print(json.dumps(document, indent=2))
    else:
        print(words, file=sys.stderr)


def _in_words(verdict: SmimeVerdict) -> str:
    lines = [f"{verdict.result.value}: {verdict.reason}" if verdict.reason else verdict.result.value]
    for signer in verdict.signers:
        whose = ", ".join(signer.addresses) or signer.subject or "nobody known"
        lines.append(f"  {signer.result.value:15} {whose}  {signer.scheme}  {signer.reason}".rstrip())
    if verdict.ciphers:
        state = "authenticated" if verdict.authenticated else "not authenticated"
        lines.append(f"  encrypted with {', '.join(verdict.ciphers)}, {state}")
    if verdict.changed:
        lines.append(f"  other outside than what was protected: {', '.join(verdict.changed)}")
    return "\n".join(lines)
