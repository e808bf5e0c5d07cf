"""`server.limits`: one key for every field of the contract's Limits, with the same default; what is checked of them."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, create_model

from mta.config import values
from mta.config.problems import Report, shown
from mta.config.words import DURATION_SCHEMA, SIZE_SCHEMA, positive
from mta.contract.limits import Limits

DESCRIPTIONS: dict[str, str] = {
    "message_size": "Largest message taken, announced with SIZE; a larger one gets 552.",
    "recipients": "Most recipients of one message, told to clients (`LIMITS RCPTMAX`); further ones get 452 and can "
    "follow in another transaction.",
    "command_length": "Longest command line, with CRLF; a longer one gets 500.",
    "line_length": "Longest line of a message, with CRLF (RFC 5321 §4.5.3.1.6); a longer one is refused.",
    "header_size": "Largest header block of a message.",
    "header_addresses": "Most addresses in the header fields of a message.",
    "mime_nesting": "Deepest nesting of MIME parts.",
    "boundary_length": "Longest boundary of a multipart.",
    "hops": "Most Received fields: beyond it the message is in a loop and is refused.",
    "soft_errors": "From this many errors of one session on, each further one is answered after `error_delay`.",
    "hard_errors": "After this many errors the session is closed with 421.",
    "junk_commands": "Most NOOP, RSET, VRFY and HELP without mail between them before they count as errors.",
    "error_delay": "How long an answer is held back after `soft_errors`.",
    "connections": "Most inbound sessions of one worker at a time; further ones get 421.",
    "connections_per_client": "Most sessions of one client address in a worker; peers proven by a connector are free.",
    "command_timeout": "How long to wait for the next command (RFC 5321 §4.5.3.2.7).",
    "data_timeout": "How long to wait between two pieces of a message.",
    "data_rate": "Least speed of an arriving message, in octets per second over the whole message.",
    "tls_timeout": "How long an inbound TLS handshake may take.",
    "proxy_timeout": "How long to wait for the PROXY header of a balancer.",
    "forbid_early_talkers": "Refuse clients that send commands before the reply that permits them.",
    "spool_threshold": "Messages larger than this go to a file while they arrive; smaller ones stay in memory.",
    "lifetime": "How long delivery is tried before the message is returned to its sender.",
    "bounce_lifetime": "The same for bounces, which are then dropped.",
    "delay_warning": "When the sender is told, once, that a message is late; 0: never.",
    "retry_min": "The first wait before a delivery is tried again; it doubles from attempt to attempt.",
    "retry_max": "The longest wait between two attempts.",
    "retry_jitter": "Share of each wait that chance adds or takes away, so that retries spread out.",
    "destination_concurrency": "Most connections to one destination at a time.",
    "destination_recipients": "Most recipients of one outbound transaction; fewer where the host's `LIMITS` says so.",
    "host_backoff": "How long a host that could not be reached is left alone.",
    "idle_timeout": "How long an outbound connection is kept open for the next message.",
    "messages_per_connection": "Most messages over one outbound connection; fewer where the host's `LIMITS` says so.",
    "connect_timeout": "How long connecting to a host may take.",
    "greeting_timeout": "How long to wait for the greeting (RFC 5321 §4.5.3.2.1).",
    "helo_timeout": "How long to wait for the reply to EHLO or HELO.",
    "mail_timeout": "How long to wait for the reply to MAIL (RFC 5321 §4.5.3.2.2).",
    "rcpt_timeout": "How long to wait for the reply to RCPT (RFC 5321 §4.5.3.2.3).",
    "data_init_timeout": "How long to wait for the reply to DATA (RFC 5321 §4.5.3.2.4).",
    "data_block_timeout": "How long sending one block of a message may take (RFC 5321 §4.5.3.2.5).",
    "data_final_timeout": "How long to wait for the reply to the final dot (RFC 5321 §4.5.3.2.6).",
    "quit_timeout": "How long to wait for the reply to QUIT; nothing is lost with it.",
    "shutdown_timeout": "How long a stop waits for running sessions and deliveries.",
}

SIZES = frozenset({"message_size", "command_length", "line_length", "header_size", "spool_threshold"})
MAY_BE_ZERO = frozenset(
    {"error_delay", "data_rate", "spool_threshold", "delay_warning", "host_backoff", "idle_timeout", "shutdown_timeout"}
    | {"lifetime", "bounce_lifetime", "retry_jitter"}
)


def kind(field: dataclasses.Field[Any]) -> str:
    """What a limit is: `size`, `duration`, `count`, `share` or `switch`."""
    if field.name == "retry_jitter":
        return "share"
    if field.name in SIZES:
        return "size"
    return {bool: "switch", int: "count", float: "duration"}[type(field.default)]


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        hint = "write the number without quotes" if isinstance(value, str) and value.isdigit() else ""
        raise values.ValueFault(f"expected a whole number, found {shown(value)}", hint)
    if not 0 <= value <= 10**9:
        raise values.ValueFault(f"{value} is out of range", "counts go up to 1,000,000,000")
    return value


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise values.ValueFault(f"expected a number from 0 to 1, found {shown(value)}")
    return float(value)


_TYPES: dict[str, tuple[Any, dict[str, Any]]] = {
    "size": (values.size, SIZE_SCHEMA),
    "duration": (values.duration, DURATION_SCHEMA),
    "count": (_count, {"type": "integer", "minimum": 0}),
    "share": (_share, {"type": "number", "minimum": 0, "maximum": 1}),
}


def _definition(field: dataclasses.Field[Any]) -> Any:
    described = Field(default=field.default, description=DESCRIPTIONS[field.name])
    what = kind(field)
    if what == "switch":
        return Annotated[bool, Field(strict=True)], described
    read, schema = _TYPES[what]
    if field.name in MAY_BE_ZERO:
        return Annotated[Any, PlainValidator(read), WithJsonSchema(schema)], described
    return Annotated[Any, PlainValidator(lambda value: positive(read(value))), WithJsonSchema(schema)], described


LimitsModel: type[BaseModel] = create_model(
    "LimitsModel",
    __config__=ConfigDict(extra="forbid", title="limits"),
    **{field.name: _definition(field) for field in dataclasses.fields(Limits)},
)
"""The pydantic model of `server.limits`."""


def build_limits(model: BaseModel) -> Limits:
    """The contract's limits from the validated object."""
    return Limits(**{name: getattr(model, name) for name in DESCRIPTIONS})


def check_limits(limits: Limits, report: Report) -> None:
    """Report a lower bound that is above its upper one."""
    for low, high in (("retry_min", "retry_max"), ("soft_errors", "hard_errors")):
        if getattr(limits, low) > getattr(limits, high):
            message = f"{low} ({getattr(limits, low):g}) is more than {high} ({getattr(limits, high):g})"
            report.problem(("server", "limits", low), message)
