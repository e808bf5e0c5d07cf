"""What a next hop can carry, by its EHLO reply, and the commands written for it.

Parameters go only where their extension was offered; what a hop cannot carry is refused in our own words and never
bent: no conversion of content, no down-grading of an address (RFC 6152 §3, RFC 6531 §3.2).
"""

from __future__ import annotations

import re

from mta.errors import LocalProtocolError
from mta.model.address import Mailbox
from mta.model.envelope import Envelope, Recipient
from mta.model.frozen import frozen
from mta.model.reply import Reply
from mta.ports import Capabilities

_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*\Z")
_UNSAFE_ADDRESS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_VALUE = re.compile(r"[\x21-\x3c\x3e-\x7e]+\Z")  # RFC 5321 §4.1.2: esmtp-value


@frozen
class Cargo:
    """What matters of a message's bytes. `size`: octets with the prefix, before dot-stuffing (RFC 1870 §5)."""

    size: int
    eight_bit: bool = False  # there are octets above 127
    utf8_header: bool = False  # and some of them stand in the header


def read_capabilities(reply: Reply, secure: bool = True) -> Capabilities:
    """The extensions an EHLO reply lists; lines that are no extension are passed over (RFC 5321 §4.1.1.1).

    Not `secure`: REQUIRETLS does not count, it may be offered inside TLS only (RFC 8689 §2).
    """
    extensions: dict[str, str] = {}
    for line in reply.text[1:]:
        keyword, _, parameters = line.partition(" ")
        if keyword.upper().startswith("AUTH="):  # an old spelling that is still about
            keyword, parameters = "AUTH", f"{keyword[5:]} {parameters}"
        if _KEYWORD.match(keyword):
            arguments = extensions.get(keyword.upper(), "")
            extensions[keyword.upper()] = f"{arguments} {parameters}".strip()
    if not secure:
        extensions.pop("REQUIRETLS", None)
    return Capabilities(extensions)


def can_carry(envelope: Envelope, cargo: Cargo, capabilities: Capabilities) -> Reply | None:
    """None if the hop can take the message as it is; else our reply in its place. Recipients are judged one by one."""
    if 0 < capabilities.size < cargo.size:  # RFC 1870 §7: do not even try
        return _ours(552, "5.3.4", f"message of {cargo.size} octets, the next hop takes {capabilities.size} at most")
    if needs_smtputf8(envelope, cargo) and "SMTPUTF8" not in capabilities:  # RFC 6531 §3.5
        return _ours(553, "5.6.7", "an internationalised message, the next hop does not offer SMTPUTF8")
    if cargo.eight_bit and "8BITMIME" not in capabilities:  # RFC 6152 §3
        return _ours(554, "5.6.3", "message has 8-bit content, the next hop does not offer 8BITMIME")
    return None


def can_carry_recipient(recipient: Recipient, capabilities: Capabilities) -> Reply | None:
    """None if the hop can be given this recipient; else our reply in the place of its reply to RCPT."""
    if recipient.mailbox.local.isascii() or "SMTPUTF8" in capabilities:
        return None
    return _ours(553, "5.6.7", "an internationalised address, the next hop does not offer SMTPUTF8")


def needs_smtputf8(envelope: Envelope, cargo: Cargo) -> bool:
    """Whether nobody can be sent this message without SMTPUTF8. A domain alone never needs it: it has A-labels."""
    if envelope.sender is not None and not envelope.sender.local.isascii():
        return True
    return envelope.smtputf8 and cargo.utf8_header


def speaks_utf8(envelope: Envelope, cargo: Cargo, capabilities: Capabilities) -> bool:
    """Whether MAIL will say SMTPUTF8 to this hop: only where something needs it."""
    if "SMTPUTF8" not in capabilities:
        return False
    return needs_smtputf8(envelope, cargo) or not all(r.mailbox.local.isascii() for r in envelope.recipients)


def mail_command(envelope: Envelope, cargo: Cargo, capabilities: Capabilities) -> bytes:
    """MAIL FROM with the parameters this hop understands."""
    utf8 = speaks_utf8(envelope, cargo, capabilities)
    parts = [f"MAIL FROM:<{path(envelope.sender, utf8) if envelope.sender else ''}>"]
    if "SIZE" in capabilities:
        parts.append(f"SIZE={cargo.size}")
    if cargo.eight_bit and "8BITMIME" in capabilities:  # pure ASCII goes as 7BIT, whatever it was declared as
        parts.append("BODY=8BITMIME")
    if utf8:
        parts.append("SMTPUTF8")
    if "DSN" in capabilities:  # RFC 3461 §4: only where DSN is offered
        if envelope.ret:
            parts.append(f"RET={_value(envelope.ret)}")
        if envelope.envid:
            parts.append(f"ENVID={_value(envelope.envid, xtext=True)}")
    if envelope.tls == "required" and "REQUIRETLS" in capabilities:  # RFC 8689 §4.2.1
        parts.append("REQUIRETLS")
    return (" ".join(parts) + "\r\n").encode()


def rcpt_command(recipient: Recipient, capabilities: Capabilities, utf8: bool = False) -> bytes:
    """RCPT TO with NOTIFY and ORCPT where DSN is offered. `utf8`: MAIL said SMTPUTF8."""
    command = f"RCPT TO:<{path(recipient.mailbox, utf8)}>"
    if "DSN" in capabilities:
        if recipient.notify:
            command += f" NOTIFY={_value(','.join(recipient.notify))}"
        if recipient.orcpt:
            command += f" ORCPT={_value(recipient.orcpt, xtext=True)}"
    return f"{command}\r\n".encode()


def path(mailbox: Mailbox, utf8: bool) -> str:
    """The address between the brackets: as it travelled if this hop reads it so, else with its domain in A-labels."""
    domain = mailbox.domain if utf8 or mailbox.domain.isascii() else mailbox.ascii_domain
    text = f"{mailbox.local}@{domain}" if domain else mailbox.local
    if _UNSAFE_ADDRESS.search(text) or (not utf8 and not text.isascii()):
        raise LocalProtocolError(f"an address that cannot be written into a command: {text!r}")
    return text


def _value(text: str, *, xtext: bool = False) -> str:
    """A parameter's value. xtext may hold `=` only encoded; what a lenient client sent us is not refused for it."""
    if not _VALUE.match(text.replace("=", "-") if xtext else text):
        raise LocalProtocolError(f"a parameter that cannot be written into a command: {text!r}")
    return text


def ehlo_word(name: str) -> bytes:
    """A name for EHLO: printable ASCII without a space."""
    if not name or not name.isascii() or not name.isprintable() or " " in name:
        raise LocalProtocolError(f"a name that cannot be said in EHLO: {name!r}")
    return name.encode()


def _ours(code: int, enhanced: str, text: str) -> Reply:
    return Reply(code, enhanced, (text,))
