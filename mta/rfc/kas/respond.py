"""What the key server answers, in both codecs."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from mta.rfc.kas import proto
from mta.rfc.kas.refuse import result_error
from mta.rfc.kas.request import JSON, PROTO, KeyRequest

OBLIGATIONS = "X-Required-Obligations"


@dataclass(frozen=True, slots=True)
class KeyResult:
    """What becomes of one key that was asked for: `wrapped` for the client, or b"" and the `code` of a refusal.

    `metadata` may hold `X-Required-Obligations` and a receipt of the log.
    """

    request: KeyRequest
    wrapped: bytes = b""
    code: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def codec_of(content_type: str) -> str:
    """The codec of a request, which its answer has too."""
    return PROTO if content_type.partition(";")[0].strip().lower() == PROTO else JSON


def write_rewrap(results: Sequence[KeyResult], session_key: str, codec: str, legacy: bool = False) -> bytes:
    """The answer to a rewrap: one entry a policy, in the order of the request.

    `legacy` is for a body of the older kind in a call of the newer one: its only key stands at the top as well.
    """
    entity = results[0].wrapped if legacy and results else b""
    by_policy = [(id_, [*group]) for id_, group in groupby(results, lambda result: result.request.policy_id)]
    if codec == PROTO:
        responses = b"".join(proto.message(5, _policy_proto(id_, group)) for id_, group in by_policy)
        return proto.field(2, entity) + proto.field(3, session_key) + responses
    return _json(
        {
            **({"entityWrappedKey": _base64(entity)} if entity else {}),
            "sessionPublicKey": session_key,
            "responses": [{"policyId": id_, "results": [*map(_result_json, group)]} for id_, group in by_policy],
        }
    )


def _policy_proto(id_: str, results: Sequence[KeyResult]) -> bytes:
    return proto.field(1, id_) + b"".join(proto.message(2, _result_proto(result)) for result in results)


def _result_proto(result: KeyResult) -> bytes:
    metadata = b"".join(proto.entry(1, name, proto.value_of(value)) for name, value in result.metadata.items())
    head = metadata + proto.field(2, result.request.key_id)
    if result.wrapped:
        return head + proto.field(3, "permit") + proto.field(4, result.wrapped)
    return head + proto.field(3, "fail") + proto.field(5, result_error(result.code))


def _result_json(result: KeyResult) -> dict[str, object]:
    value: dict[str, object] = {"metadata": dict(result.metadata), "keyAccessObjectId": result.request.key_id}
    if result.wrapped:
        return {**value, "status": "permit", "kasWrappedKey": _base64(result.wrapped)}
    return {**value, "status": "fail", "error": result_error(result.code)}


def write_legacy_rewrap(wrapped: bytes, session_key: str = "") -> bytes:
    """The answer of the older protocol, in JSON; refusals are HTTP errors there."""
    session = {"sessionPublicKey": session_key} if session_key else {}
    return _json({"entityWrappedKey": _base64(wrapped), "metadata": {}, **session})


def write_public_key(pem: str, kid: str, codec: str) -> bytes:
    """The active root key's public part and its id."""
    if codec == PROTO:
        return proto.field(1, pem) + proto.field(2, kid)
    return _json({"publicKey": pem, "kid": kid})


def write_legacy_public_key(pem: str, kid: str, version: str) -> bytes:
    """The same for the older GET: `v=2` wants an object, without it the bare text is expected."""
    return _json({"publicKey": pem, "kid": kid}) if version == "2" else _json(pem)


def write_key_servers(urls: Sequence[str], codec: str) -> bytes:
    """The key servers that a client may send its token to: ours."""
    if codec == PROTO:
        return b"".join(
            proto.message(1, proto.field(1, f"{number}") + proto.field(2, url)) for number, url in enumerate(urls)
        )
    return _json({"keyAccessServers": [{"id": f"{number}", "uri": url} for number, url in enumerate(urls)]})


def write_configuration(configuration: Mapping[str, Any], codec: str) -> bytes:
    """The answer of the well-known service: the configuration as a Struct."""
    if codec == PROTO:
        return proto.message(1, proto.struct_of(configuration))
    return _json({"configuration": configuration})


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
