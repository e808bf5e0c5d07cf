"""`protection.sms` and the channels of a label: the keys, how they are built and what is checked of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, WithJsonSchema

from mta.config import values
from mta.config.files import Files
from mta.config.problems import Path, Report, shown
from mta.config.words import FilePath, Keys, Text, optional
from mta.contract.protection import Label, SmsGateway
from mta.contract.readers import reader_name
from mta.rfc.smtp.address import AddressError

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")  # E.164


def _gateway(value: object) -> str:
    given = values.text(value, "the URL of an SMS gateway")
    parts = urlsplit(given)
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not given.isascii() or not parts.hostname or not (parts.scheme == "https" or local):
        raise values.ValueFault(f"{shown(given)} is no gateway", "write it like https://sms.example/send")
    return given


def _numbers(value: object) -> dict[str, str]:
    """Numbers by address, both in the form in which they are compared and sent."""
    if not isinstance(value, Mapping):
        raise values.ValueFault(f"expected numbers by address, found {shown(value)}")
    found: dict[str, str] = {}
    for address, number in value.items():
        plain = re.sub(r"[\s()./-]", "", str(number))
        if not isinstance(number, str) or not _NUMBER.fullmatch(plain):
            raise values.ValueFault(f"{shown(number)} is no telephone number", 'write it in quotes: "+49 170 1234567"')
        try:
            found[reader_name(str(address))] = plain
        except AddressError as error:
            raise values.ValueFault(str(error), "numbers stand beside addresses") from None
    return found


GatewayUrl = Annotated[str, PlainValidator(_gateway), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
Numbers = Annotated[
    dict[str, str],
    PlainValidator(_numbers),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}),
]


class SmsKeys(Keys):
    """The gateway that carries codes to telephones: one POST for each."""

    url: GatewayUrl = Field(description="Where it takes messages.")
    token_file: FilePath | None = optional("File whose first line is the gateway's token, for `Authorization: Bearer`.")
    media_type: Literal["application/json", "application/x-www-form-urlencoded"] = optional(
        "What `body` is.", "application/json"
    )
    body: Text = optional(
        "What is sent; {number} and {text} are filled in, escaped as the media type wants it.",
        '{"to": "{number}", "text": "{text}"}',
    )
    numbers: Numbers = optional("Telephone numbers of readers, by address.", {})


def build_sms(keys: SmsKeys | None, files: Files) -> SmsGateway | None:
    """`protection.sms`."""
    if keys is None:
        return None
    path: Path = ("protection", "sms", "token_file")
    token = files.password(keys.token_file, path) if keys.token_file else ""
    return SmsGateway(keys.url, token, keys.media_type, keys.body, keys.numbers)


def check_sms(keys: SmsKeys | None, report: Report) -> None:
    """Report a request that would not say to whom or what."""
    for word in ("{number}", "{text}") if keys else ():
        if keys and word not in keys.body:
            report.problem(("protection", "sms", "body"), f"the request does not hold {word}")


def check_channels(label: Label, sms: SmsKeys | None, path: Path, report: Report) -> None:
    """Report channels of a label that nobody could use."""
    if not label.channels:
        report.problem((*path, "channels"), "a second channel of no kind", "totp, passkey, sms, phrase")
    if label.second_channel == "none":
        return
    if "sms" in label.channels and sms is None:
        report.problem((*path, "channels"), "sms, and nothing sends one", "write protection.sms")
    if label.channels == ("passkey",):
        message = "passkeys alone: browsers without script cannot use them"
        report.warning((*path, "channels"), message, "write totp beside it, unless that is meant")
