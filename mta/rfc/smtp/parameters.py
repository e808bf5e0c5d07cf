"""The parameters behind the paths of MAIL FROM and RCPT TO.

RFC 1870 (SIZE), RFC 6152 (BODY), RFC 6531 (SMTPUTF8), RFC 3461 (RET, ENVID, NOTIFY, ORCPT; RFC 6533
for `utf-8`), RFC 8689 (REQUIRETLS).
ENVID and ORCPT keep the spelling they travelled in, because they travel on; keywords lose their case.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from mta.model.reply import Reply
from mta.rfc.smtp.address import is_unprintable
from mta.rfc.smtp.xtext import XtextError, decode_xtext

MAX_ENVID = 100  # RFC 3461 §4.4
MAX_ORCPT = 500  # RFC 3461 §4.2

_MAIL_EXTENSIONS = {
    "SIZE": "SIZE",
    "BODY": "8BITMIME",
    "SMTPUTF8": "SMTPUTF8",
    "RET": "DSN",
    "ENVID": "DSN",
    "REQUIRETLS": "REQUIRETLS",
}
_RCPT_EXTENSIONS = {"NOTIFY": "DSN", "ORCPT": "DSN"}

# RFC 5321 §4.1.2: esmtp-keyword and esmtp-value, the latter with the alphabet of RFC 6531 §3.3
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([!-<>-~\x80-\U0010ffff]++))?")
_SIZE = re.compile(r"[0-9]{1,20}")  # RFC 1870 §3
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+")
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")  # RFC 6533 §3: EmbeddedUnicodeChar


class ParameterError(ValueError):
    """A parameter that cannot be honoured; `reply` is what the peer hears."""

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.enhanced = enhanced
        self.text = text

    @property
    def reply(self) -> Reply:
        """The refusal."""
        return Reply(self.code, self.enhanced, (self.text,))


@dataclass(frozen=True, slots=True)
class MailParameters:
    """What stood behind the reverse-path; the meaning of each is that of the field in Envelope."""

    size: int = 0
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    requiretls: bool = False


@dataclass(frozen=True, slots=True)
class RcptParameters:
    """What stood behind the forward-path; the meaning of each is that of the field in Recipient."""

    notify: tuple[str, ...] = ()
    orcpt: str = ""


_NO_MAIL_PARAMETERS = MailParameters()
_NO_RCPT_PARAMETERS = RcptParameters()


def parse_mail_parameters(text: str, extensions: Collection[str]) -> MailParameters:
    """`text` is what followed the path; `extensions` are the EHLO keywords we offered, in upper case.

    Raises ParameterError.
    """
    if not text:
        return _NO_MAIL_PARAMETERS
    parameters = _split(text, _MAIL_EXTENSIONS, extensions)
    return MailParameters(
        size=_size(parameters["SIZE"]) if "SIZE" in parameters else 0,
        body=_word("BODY", parameters["BODY"], ("7BIT", "8BITMIME")) if "BODY" in parameters else "7BIT",
        smtputf8=_flag("SMTPUTF8", parameters["SMTPUTF8"]) if "SMTPUTF8" in parameters else False,
        ret=_word("RET", parameters["RET"], ("FULL", "HDRS")) if "RET" in parameters else "",
        envid=_envid(parameters["ENVID"]) if "ENVID" in parameters else "",
        requiretls=_flag("REQUIRETLS", parameters["REQUIRETLS"]) if "REQUIRETLS" in parameters else False,
    )


def parse_rcpt_parameters(text: str, extensions: Collection[str]) -> RcptParameters:
    """The same for RCPT TO. Raises ParameterError."""
    if not text:
        return _NO_RCPT_PARAMETERS
    parameters = _split(text, _RCPT_EXTENSIONS, extensions)
    return RcptParameters(
        notify=_notify(parameters["NOTIFY"]) if "NOTIFY" in parameters else (),
        orcpt=_orcpt(parameters["ORCPT"]) if "ORCPT" in parameters else "",
    )


def _split(text: str, known: dict[str, str], extensions: Collection[str]) -> dict[str, str]:
    if not text.startswith(" "):
        raise _malformed("A space must follow the path")
    parameters: dict[str, str] = {}
    for item in text.split(" "):
        if not item:
            continue  # RFC 5321 §4.1.1: white space at the end of a line is tolerated
        match = _PARAMETER.fullmatch(item)
        if match is None:
            raise _malformed("Malformed parameter")
        keyword = match[1].upper()
        if known.get(keyword, keyword) not in extensions or keyword not in known:
            # RFC 5321 §4.1.1.11: 555 for parameters that are not recognised
            raise ParameterError(555, "5.5.4", f"Parameter not supported: {keyword[:20]}")
        if keyword in parameters:
            raise _malformed(f"Parameter given twice: {keyword}")
        parameters[keyword] = match[2] or ""
    return parameters


def _malformed(text: str) -> ParameterError:
    return ParameterError(501, "5.5.4", text)


def _size(value: str) -> int:
    if _SIZE.fullmatch(value) is None:
        raise _malformed("SIZE must be a number of octets")
    return int(value)


def _word(keyword: str, value: str, words: tuple[str, ...]) -> str:
    word = value.upper()
    if word not in words:
        raise _malformed(f"{keyword} must be {' or '.join(words)}")
    return word


def _flag(keyword: str, value: str) -> bool:
    if value:
        raise _malformed(f"{keyword} takes no value")  # RFC 6531 §3.4
    return True


def _envid(value: str) -> str:
    if not value or len(value) > MAX_ENVID:
        raise _malformed(f"ENVID must have 1 to {MAX_ENVID} characters")
    decoded = _decoded("ENVID", value)
    if not decoded.isascii():
        raise _malformed("ENVID must be printable ASCII in xtext")  # RFC 3461 §4.4
    return value


def _notify(value: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(value.upper().split(",")))
    if words == ("NEVER",):
        return words
    # RFC 3461 §4.1: NEVER stands alone, otherwise some of the three
    if not set(words) <= {"SUCCESS", "FAILURE", "DELAY"}:
        raise _malformed("NOTIFY must be NEVER, or some of SUCCESS,FAILURE,DELAY")
    return words


def _orcpt(value: str) -> str:
    address_type, separator, address = value.partition(";")
    if len(value.encode("utf-8", "surrogatepass")) > MAX_ORCPT:
        raise _malformed(f"ORCPT must have at most {MAX_ORCPT} characters")
    if not separator or not address or _ADDRESS_TYPE.fullmatch(address_type) is None:
        raise _malformed("ORCPT must be an address type, a semicolon and an address in xtext")
    if address_type.lower() != "utf-8":
        _decoded("ORCPT", address)
    elif address.isascii():
        decoded = _decoded("ORCPT", address)
        if any(_is_control(int(digits, 16)) for digits in _EMBEDDED.findall(decoded)):
            raise _malformed("ORCPT must not hold control characters")
    elif any(is_unprintable(character) for character in address):  # RFC 6533 §3: utf-8-addr-unitext
        raise _malformed("ORCPT must not hold control characters")
    return value


def _decoded(keyword: str, value: str) -> str:
    """What the xtext hides must be text: a line end in it would be one wherever it is written out."""
    try:
        decoded = decode_xtext(value).decode("utf-8")
    except XtextError:
        raise _malformed(f"{keyword} must be in xtext") from None
    except UnicodeDecodeError:
        raise _malformed(f"{keyword} must be text in xtext") from None
    if any(is_unprintable(character) for character in decoded):
        raise _malformed(f"{keyword} must not hold control characters")
    return decoded


def _is_control(code_point: int) -> bool:
    """Whether a code point is a control, a separator, a surrogate, or none at all."""
    return code_point > 0x10FFFF or is_unprintable(chr(code_point))
