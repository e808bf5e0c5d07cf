"""The verdict on S/MIME in the header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import LocalProtocolError
from mta.model.smime_verdict import JudgedSigner, SmimeResult, SmimeVerdict
from mta.rfc.authres.parse import parse_results
from mta.rfc.authres.smime import smime_fields
from mta.rfc.mime.header import scan_header

ANNA = JudgedSigner(
    SmimeResult.GOOD, addresses=("anna@f.example",), issuer='CN="F" CA', serial="1f", scheme="ed25519", is_author=True
)
GATEWAY = JudgedSigner(SmimeResult.GOOD, addresses=("gateway@g.example",))


def written(verdict: SmimeVerdict) -> tuple[str, str]:
    """The values of the two fields, on one line each."""
    raw = smime_fields("mx.contoso.example", verdict)
    block = scan_header(raw + b"\r\n", 100_000)
    assert [field.name for field in block.fields] == [b"authentication-results", b"x-mta-smime"]
    results, summary = (raw[field.value_start : field.end].decode() for field in block.fields)
    return " ".join(results.split()), " ".join(summary.split())


def test_a_good_one_names_the_author_not_the_gateway_that_signed_as_well() -> None:
    results, summary = written(SmimeVerdict(SmimeResult.GOOD, signers=(GATEWAY, ANNA)))
    assert results == (
        "mx.contoso.example; smime=pass body.smime-identifier=anna@f.example body.smime-serial=1f "
        'body.smime-issuer="CN=\\"F\\" CA"'
    )
    assert summary == "good; signer=anna@f.example"


def test_a_pass_never_stands_beside_a_fail() -> None:
    bad = JudgedSigner(SmimeResult.BAD, "it was changed", addresses=("anna@f.example",))
    results, summary = written(SmimeVerdict(SmimeResult.BAD, "it was changed", (GATEWAY, bad)))
    assert "pass" not in results
    assert 'smime=fail reason="bad: it was changed"' in results
    assert summary == 'bad; reason="it was changed"'


def test_encryption_and_changed_fields_are_told() -> None:
    verdict = SmimeVerdict(
        SmimeResult.UNSIGNED, "nobody", encrypted=True, ciphers=("aes256-cbc",), changed=("subject", "to")
    )
    results, summary = written(verdict)
    assert results.startswith("mx.contoso.example; smime=none")
    assert summary == 'unsigned; encrypted=aes256-cbc; authenticated=no; changed="subject,to"; reason="nobody"'


@pytest.mark.parametrize("result", SmimeResult)
def test_every_word_has_one_of_rfc_8601(result: SmimeResult) -> None:
    signers = (ANNA,) if result is SmimeResult.GOOD else ()
    parsed = parse_results(smime_fields("mx.example", SmimeVerdict(result, signers=signers)).split(b":", 1)[1])
    assert parsed is None or parsed.results  # the second field follows in the same bytes
    results, _ = written(SmimeVerdict(result, signers=signers))
    found = parse_results(results.encode())
    assert found is not None
    assert found.results[0].method == "smime"
    assert found.results[0].result in ("pass", "none", "policy", "temperror", "fail", "neutral")


@given(st.text(max_size=60), st.text(max_size=400), st.lists(st.text(max_size=20), max_size=30))
def test_what_strangers_chose_stays_within_its_field(address: str, reason: str, changed: list[str]) -> None:
    for result in (SmimeResult.GOOD, SmimeResult.BAD):
        signer = JudgedSigner(result, reason, addresses=(address,), issuer=reason, is_author=True)
        written(SmimeVerdict(result, reason, (signer,), True, False, tuple(changed), tuple(changed)))


def test_an_authserv_id_that_is_none_is_a_defect() -> None:
    with pytest.raises(LocalProtocolError):
        smime_fields("x\r\nEvil: 1", SmimeVerdict(SmimeResult.UNSIGNED))
