"""Whole messages with S/MIME around them, made by our own hands or by `openssl cms`."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from mta.rfc.mime.seven_bit import base64_lines
from mta.rfc.smime.compose import HeaderProtection, Protection, protect_message
from mta.rfc.smime.encrypt import enveloped_data, enveloped_pieces, prepare_recipient
from mta.rfc.smime.profile import PROFILES
from mta.rfc.smime.sign import prepare_signer, signed_data
from tests.support.smime import NOW, Person, person

HEADER = (
    b"Received: from x by y\r\nFrom: Anna <anna@contoso.example>\r\nTo: berta@contoso.example\r\n"
    b"Subject: the third quarter\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
)
CONTENT = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nThe figures of the third quarter.\r\n"
MESSAGE = HEADER + CONTENT


def sign(
    message: bytes,
    who: Person,
    *,
    detached: bool = True,
    headers: HeaderProtection = "none",
    profile: str = "default",
    chain: str = "chain",
) -> bytes:
    """The message, signed; `chain` says which certificates travel along."""
    return _made(message, signers=(who,), detached=detached, headers=headers, profile=profile, chain=chain)


def encrypt(message: bytes, *to: Person, headers: HeaderProtection = "none", profile: str = "default") -> bytes:
    """The message, encrypted."""
    return _made(message, recipients=to, headers=headers, profile=profile)


def sign_and_encrypt(
    message: bytes, who: Person, *to: Person, headers: HeaderProtection = "none", chain: str = "chain"
) -> bytes:
    """The message, signed and then encrypted, in one go."""
    return _made(message, signers=(who,), recipients=to, headers=headers, chain=chain)


def _made(
    message: bytes,
    *,
    signers: tuple[Person, ...] = (),
    recipients: tuple[Person, ...] = (),
    detached: bool = True,
    headers: HeaderProtection = "none",
    profile: str = "default",
    chain: str = "chain",
) -> bytes:
    how = replace(PROFILES[profile], include_chain=chain)
    prepared = [prepare_signer(who.identity, how) for who in signers]
    keys = [prepare_recipient(who.der, how) for who in recipients]
    protection = Protection(
        random=os.urandom,
        sign=(lambda entity: signed_data(prepared, entity, detached=detached, signing_time=NOW)) if signers else None,
        encrypt=(lambda entity: enveloped_pieces(keys, entity, how, os.urandom)) if recipients else None,
        detached=detached,
        digests=tuple(each.digest for each in prepared),
        authenticated=how.authenticated,
        headers=headers,
    )
    made = protect_message(message, protection)
    assert isinstance(made, bytes), made
    return made


def openssl(folder: Path, *arguments: str | Path, data: bytes) -> bytes:
    """What `openssl` makes of `data`."""
    done = subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def anna() -> Person:
    """The author of MESSAGE."""
    return person("p256", "anna")


def berta() -> Person:
    """Its recipient."""
    return person("p256", "berta")


def mallory() -> Person:
    """Somebody else."""
    return person("p256", "mallory")


def envelope_of(entity: bytes, *to: Person) -> bytes:
    """An entity that is an encryption of this one, whatever it is."""
    how = PROFILES["default"]
    der = enveloped_data([prepare_recipient(who.der, how) for who in to], entity, how, os.urandom)
    head = (
        b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    return head + base64_lines(der)
