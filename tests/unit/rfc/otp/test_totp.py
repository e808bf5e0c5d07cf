"""Codes of authenticator apps: the vectors of the standards, drift, and that a code is good once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.otp.totp import STEP, hotp, secret_text, secret_uri, verify

SECRET = b"12345678901234567890"
COUNTED = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]


@pytest.mark.parametrize(("counter", "code"), enumerate(COUNTED))
def test_vectors_of_rfc_4226(counter: int, code: str):
    assert hotp(SECRET, counter) == code


@pytest.mark.parametrize(
    ("at", "code"),
    [(59, "94287082"), (1111111109, "07081804"), (1234567890, "89005924"), (20000000000, "65353130")],
)
def test_vectors_of_rfc_6238(at: int, code: str):
    assert hotp(SECRET, at // STEP, 8) == code
    assert verify(SECRET, code[2:], at) == at // STEP


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_clocks_may_differ_by_one_step(steps: int, good: bool):
    now = 1_700_000_000.0
    code = hotp(SECRET, int(now // STEP) + steps)
    assert (verify(SECRET, code, now) is not None) == good


def test_a_code_is_good_once_and_none_before_it():
    now = 1_700_000_000.0
    step = verify(SECRET, hotp(SECRET, int(now // STEP)), now)
    assert step == int(now // STEP)
    assert verify(SECRET, hotp(SECRET, step), now, step) is None
    assert verify(SECRET, hotp(SECRET, step - 1), now, step) is None
    assert verify(SECRET, hotp(SECRET, step + 1), now, step) == step + 1


@given(st.text(max_size=40))
def test_only_the_code_itself_fits(typed: str):
    now = 1_700_000_000.0
    digits = "".join(c for c in typed[:32] if c.isascii() and c.isdigit())
    near = [hotp(SECRET, int(now // STEP) + step) for step in (-1, 0, 1)]
    assert (verify(SECRET, typed, now) is not None) == (digits in near)


def test_what_an_app_is_told():
    assert secret_text(SECRET) == "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"
    uri = secret_uri(SECRET, "portal.contoso.example", "b+b@fabrikam.example")
    assert uri.startswith("otpauth://totp/portal.contoso.example:b%2Bb@fabrikam.example?secret=GEZDGNBV")
    assert uri.endswith("&issuer=portal.contoso.example&digits=6&period=30")
