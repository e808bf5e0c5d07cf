"""Policies as all writers write them, and their binding."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import UUID

import pytest

from mta.errors import TdfError
from mta.rfc.tdf.policy import Policy, bind, is_bound, read_policy, write_policy
from tests.support.protected import KEY, POLICY, UUID_


def text(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def test_round_trip() -> None:
    policy = Policy(UUID_, ("rené@fabrikam.example", "b@x"), ("https://contoso.example/attr/a/value/b",))
    assert read_policy(write_policy(policy)) == policy


def test_null_lists_and_the_nil_uuid_of_other_writers() -> None:
    nil = "00000000-0000-0000-0000-000000000000"
    assert read_policy(text({"uuid": nil, "body": {"dataAttributes": None, "dissem": None}})) == Policy(UUID(nil), ())
    assert read_policy(text({"uuid": nil, "body": {}, "more": 1})) == Policy(UUID(nil), ())


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "!",
        text([]),
        text({}),
        text({"uuid": "1", "body": {}}),
        text({"uuid": str(UUID_)}),
        text({"uuid": str(UUID_), "body": {"dissem": "a@b"}}),
        text({"uuid": str(UUID_), "body": {"dissem": [1]}}),
        text({"uuid": str(UUID_), "body": {"dataAttributes": [{}]}}),
        base64.b64encode(b'{"uuid":"%s","body":{},"body":{"dissem":["x"]}}' % str(UUID_).encode()).decode(),
        "A" * (1024 * 1024 + 4),
    ],
)
def test_what_is_no_policy(bad: str) -> None:
    with pytest.raises(TdfError):
        read_policy(bad)


def test_a_policy_that_nobody_would_read_is_not_written() -> None:
    for readers in (("a@b",) * 10_001, ("a" * 2000 + "@b",) * 400):
        with pytest.raises(TdfError):
            write_policy(Policy(UUID_, readers))
    policy = Policy(UUID_, tuple(f"reader{number}@fabrikam.example" for number in range(10_000)))
    assert read_policy(write_policy(policy)) == policy


def test_the_binding_is_over_the_text_and_in_hexadecimal() -> None:
    binding = base64.b64decode(bind(KEY, POLICY))
    assert len(binding) == 64
    assert is_bound(KEY, POLICY, binding)
    assert is_bound(KEY, POLICY, bytes.fromhex(binding.decode()))  # as others write it
    respelled = base64.b64encode(base64.b64decode(POLICY).replace(b",", b", ")).decode()
    for key, policy, told in (
        (bytes(32), POLICY, binding),
        (KEY, respelled, binding),
        (KEY, POLICY, b""),
        (KEY, POLICY, binding[:32]),
    ):
        assert not is_bound(key, policy, told)
