"""What MAIL and RCPT say, as a server may take it: grammar, extensions offered, sizes, and addresses beyond ASCII."""

from __future__ import annotations

from mta.model.address import Mailbox
from mta.model.envelope import Envelope, Recipient
from mta.rfc.smtp.address import AddressError, parse_path
from mta.rfc.smtp.command import CommandError, path_of
from mta.rfc.smtp.parameters import ParameterError, parse_mail_parameters, parse_rcpt_parameters
from mta.rfc.smtp.server_replies import BAD_RECIPIENT, BAD_SENDER, DECLARED_TOO_LARGE, NEEDS_UTF8

_EXTENSIONS = frozenset({"SIZE", "8BITMIME", "SMTPUTF8", "DSN"})  # that carry parameters
_INSIDE_TLS = _EXTENSIONS | {"REQUIRETLS"}  # RFC 8689 §2: offered there alone
_NONE: frozenset[str] = frozenset()


def read_mail(argument: str, *, esmtp: bool, secure: bool, largest: int) -> Envelope:
    """RFC 5321 §4.1.1.2 with RFC 1870, 6152, 6531, 3461, 8689; `largest` in octets.

    Raises CommandError, whose text shows what was wrong.
    """
    extensions = (_INSIDE_TLS if secure else _EXTENSIONS) if esmtp else _NONE
    try:
        sender, rest = parse_path(path_of(argument, "FROM:"), smtputf8=esmtp, null_ok=True)
        parameters = parse_mail_parameters(rest, extensions)
    except (CommandError, ParameterError) as error:
        raise CommandError(error.reply, argument) from None
    except AddressError as error:
        raise CommandError(BAD_SENDER, str(error)) from None
    if parameters.size > largest:  # RFC 1870 §6.1
        raise CommandError(DECLARED_TOO_LARGE, argument)
    _need_utf8(sender, argument, smtputf8=parameters.smtputf8)
    return Envelope(
        sender,
        body=parameters.body,
        smtputf8=parameters.smtputf8,
        ret=parameters.ret,
        envid=parameters.envid,
        size=parameters.size,
        tls="required" if parameters.requiretls else "",
    )


def read_rcpt(argument: str, *, esmtp: bool, smtputf8: bool) -> Recipient:
    """RFC 5321 §4.1.1.3; `<postmaster>` needs no domain (§4.5.1). `smtputf8`: MAIL has said so.

    Raises CommandError, whose text shows what was wrong.
    """
    try:
        mailbox, rest = parse_path(path_of(argument, "TO:"), smtputf8=esmtp, null_ok=False, postmaster_ok=True)
        parameters = parse_rcpt_parameters(rest, _EXTENSIONS if esmtp else _NONE)
    except (CommandError, ParameterError) as error:
        raise CommandError(error.reply, argument) from None
    except AddressError as error:
        raise CommandError(BAD_RECIPIENT, str(error)) from None
    if mailbox is None:
        raise CommandError(BAD_RECIPIENT, argument)
    _need_utf8(mailbox, argument, smtputf8=smtputf8)
    return Recipient(mailbox, parameters.notify, parameters.orcpt)


def _need_utf8(mailbox: Mailbox | None, argument: str, *, smtputf8: bool) -> None:
    if mailbox is not None and not smtputf8 and not mailbox.is_ascii:  # RFC 6531 §3.5
        raise CommandError(NEEDS_UTF8, argument)
