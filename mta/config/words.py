"""What connectors.yaml is made of: words with a grammar of their own, each with its JSON Schema, and objects."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from mta.config import values
from mta.config.problems import shown
from mta.contract.values import HostPort, Network
from mta.model.address import Mailbox
from mta.model.tls import Pin

# tags of unions; they appear in pydantic's places and are taken out again
WORD, OBJECT, LIST = "<word>", "<object>", "<list>"
TAGS = frozenset({WORD, OBJECT, LIST, "<folder>", "<ldap>", "<smimea>", "<cert>", "<harvested>"})


def _text_schema(pattern: str = "", **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "minLength": 1} | ({"pattern": pattern} if pattern else {}) | more)


def _text(value: object) -> str:
    given = values.text(value, "text")
    if not given.strip() or not given.isprintable():
        raise values.ValueFault("expected text on one line, found nothing that could be read")
    return given


def _version(value: object) -> str:
    word = {1.2: "1.2", 1.3: "1.3"}.get(value) if isinstance(value, float) else value
    if word not in ("1.2", "1.3") or not isinstance(word, str):
        raise values.ValueFault(f'expected "1.2" or "1.3", found {shown(value)}', "older TLS is not spoken")
    return word


def _workers(value: object) -> int | str:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1024:
        raise values.ValueFault(f"expected auto or a number from 1 to 1024, found {shown(value)}")
    return value


def _port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65_535:
        raise values.ValueFault(f"expected a port from 1 to 65535, found {shown(value)}")
    return value


def _rsa_bits(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1024 <= value <= 8192:
        # RFC 8301 §3.2: shorter keys are never good; longer ones are not verified here
        raise values.ValueFault(f"expected a number of bits from 1024 to 8192, found {shown(value)}")
    return value


def _store(value: object) -> str:
    given = _text(value)
    if not given.startswith("sqlite:") or given == "sqlite:":
        raise values.ValueFault(f"{shown(given)} is not a queue store", "write it like sqlite:var/queue")
    return given


def word_or_object(value: object) -> str:
    """The tag of a union of a word and an object."""
    return OBJECT if isinstance(value, dict | BaseModel) else WORD


def _authserv_id(value: object) -> str:
    given = _text(value)
    if any(c in ' \t;"()<>@,\\/[]?=' for c in given):  # RFC 8601 §2.5: a value, here always a token
        raise values.ValueFault(f"{shown(given)} cannot be an authserv-id", "a host name is usual")
    return given


def positive(value: Any) -> Any:
    """The value, if it is more than 0. Raises ValueFault."""
    if value <= 0:
        raise values.ValueFault("expected more than 0", "remove the key to have the default")
    return value


Text = Annotated[str, PlainValidator(_text), _text_schema()]
FilePath = Annotated[str, PlainValidator(_text), _text_schema()]
DomainName = Annotated[str, PlainValidator(values.domain_name), _text_schema()]
DomainPattern = Annotated[str, PlainValidator(values.domain_pattern), _text_schema()]
CertificateName = Annotated[str, PlainValidator(values.certificate_name), _text_schema()]
NetworkText = Annotated[Network, PlainValidator(values.network), _text_schema(examples=["192.0.2.0/24"])]
PinText = Annotated[Pin, PlainValidator(values.pin), _text_schema("^(spki-sha256:|cert-sha256:)")]
Address = Annotated[Mailbox, PlainValidator(values.mailbox), _text_schema("@")]
ListenAddress = Annotated[
    HostPort, PlainValidator(lambda v: values.host_port(v, None, address_only=True)), _text_schema(":[0-9]+$")
]
NextHop = Annotated[HostPort, PlainValidator(lambda v: values.host_port(v, 25)), _text_schema()]
NameServer = Annotated[HostPort, PlainValidator(lambda v: values.host_port(v, 53, address_only=True)), _text_schema()]
TlsVersion = Annotated[str, PlainValidator(_version), WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]})]
Workers = Annotated[
    int | str,
    PlainValidator(_workers),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 1024}]}),
]
Selector = Annotated[str, PlainValidator(values.selector), _text_schema(examples=["s1"])]
Moment = Annotated[
    float, PlainValidator(values.moment), _text_schema("^[0-9]{4}-[0-9]{2}-[0-9]{2}", examples=["2026-11-01"])
]
RsaBits = Annotated[
    int, PlainValidator(_rsa_bits), WithJsonSchema({"type": "integer", "minimum": 1024, "maximum": 8192})
]
Port = Annotated[int, PlainValidator(_port), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 65_535})]
Store = Annotated[str, PlainValidator(_store), _text_schema("^sqlite:.")]
AuthservId = Annotated[str, PlainValidator(_authserv_id), _text_schema()]
TokenUrl = Annotated[str, PlainValidator(values.token_url), _text_schema("^https?://")]
Switch = Annotated[bool, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]  # 0.01: one of a hundred

DURATION_SCHEMA = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?[smhdw]$"}]
}
SIZE_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(B|kB|KB|MB|GB|KiB|MiB|GiB|k|K|M|G)?$"},
    ]
}
Duration = Annotated[float, PlainValidator(values.duration), WithJsonSchema(DURATION_SCHEMA)]
Pause = Annotated[
    float, PlainValidator(lambda value: positive(values.duration(value))), WithJsonSchema(DURATION_SCHEMA)
]
DurationOrOff = Annotated[
    float | Literal["off"],
    PlainValidator(lambda value: value if value == "off" else positive(values.duration(value))),
    WithJsonSchema({"anyOf": [*DURATION_SCHEMA["anyOf"], {"const": "off"}]}),
]
Size = Annotated[int, PlainValidator(values.size), WithJsonSchema(SIZE_SCHEMA)]


def optional(description: str, default: Any = None, **more: Any) -> Any:
    """A key that may be left out; None: not written."""
    return Field(default=default, description=description, **more)


class Keys(BaseModel):
    """An object of connectors.yaml: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyPairKeys(Keys):
    """A certificate chain and its private key, as PEM files."""

    chain: FilePath = Field(description="PEM file: our certificate first, then those that lead to the root.")
    key: FilePath = Field(description="PEM file of the private key, without a passphrase.")
