"""Refusals in the words that clients understand; there are two for a key, and which check failed they do not tell.

Clients sort by words: `bad request` is for what cannot be right (broken, tampered with), `forbidden` for what this
reader may not have. Anything finer would be an oracle; the reason is for our log.
"""

from __future__ import annotations

import json

from mta.errors import KasError

BAD_REQUEST, FORBIDDEN = "bad request", "forbidden"

# Connect's codes, with the HTTP status that its protocol assigns them, and the words beside them
_STATUS = {
    "invalid_argument": (400, BAD_REQUEST),
    "unauthenticated": (401, "unauthenticated"),
    "permission_denied": (403, FORBIDDEN),
    "not_found": (404, "not found"),
    "resource_exhausted": (429, "too many requests"),
    "unimplemented": (501, "unimplemented"),
    "unavailable": (503, "try again later"),
    "internal": (500, "internal error"),
}
_RESULTS = {
    "invalid_argument": "InvalidArgument",
    "permission_denied": "PermissionDenied",
    "unavailable": "Unavailable",
}


def http_error(error: KasError, hint: str = "") -> tuple[int, bytes]:
    """The HTTP status and the JSON body of a refusal, whatever codec was asked for (Connect, unary errors).

    `hint` may follow the word, such as where the reader finds the portal; it must be the same for all reasons.
    """
    code = error.code if error.code in _STATUS else "internal"
    status, word = _STATUS[code]
    return status, json.dumps({"code": code, "message": f"{word}: {hint}" if hint else word}).encode()


def result_error(code: str) -> str:
    """The `error` of one key's result, in the form of the reference server, which its clients search for the words."""
    code = code if code in _RESULTS else "permission_denied"
    return f"rpc error: code = {_RESULTS[code]} desc = {_STATUS[code][1]}"
