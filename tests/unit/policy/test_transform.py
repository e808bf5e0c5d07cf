"""How each recipient's copy leaves: the table of outbound.smime, and that nothing is ever less than it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.contract.smime import Smime
from mta.model.attempt import Failure, Scope
from mta.model.directory import Candidate, DirectoryAnswer, DirectoryStatus, TrustRung
from mta.model.word import Word
from mta.policy.transform import Author, Copy, Found, copy_for, envelopes, not_transformable
from mta.rfc.smime.kind import Kind

BOB = Candidate(b"bob", "folder", TrustRung.MANUAL, "bob@fabrikam.example")
FOUND = DirectoryAnswer(DirectoryStatus.FOUND, BOB)
NONE = DirectoryAnswer(DirectoryStatus.NONE, detail="nowhere")
DOWN = DirectoryAnswer(DirectoryStatus.TEMPORARY, detail="ldap is down")
ABLE = Author(ours=True, able=True)
UNABLE = Author(ours=True, trouble="her certificate has expired")
FOREIGN = Author(ours=False, trouble="its author is of no domain of ours")
PLAIN = Found(Kind.PLAIN)
BOTH = Smime(sign="always", encrypt="required")


def outcome(smime: Smime, found: Found = PLAIN, author: Author = ABLE, answer: DirectoryAnswer | None = FOUND) -> str:
    """`signed`, `encrypted`, both, `plain`, or the end of a failure with its word."""
    copy = copy_for(smime, found, author, answer)
    if isinstance(copy, Failure):
        end = "held" if copy.scope is Scope.CONTRACT else "refused" if copy.permanent else "waits"
        assert copy.local
        assert copy.reply.permanent == copy.permanent
        return f"{end} {copy.reason.partition(':')[0]}"
    words = [word for word, done in (("signed", copy.sign), ("encrypted", copy.certificate is not None)) if done]
    return "+".join(words) or "plain"


@pytest.mark.parametrize(
    ("sign", "author", "expected"),
    [
        ("never", ABLE, "plain"),
        ("when-possible", ABLE, "signed"),
        ("when-possible", UNABLE, "plain"),
        ("when-possible", FOREIGN, "plain"),
        ("always", ABLE, "signed"),
        ("always", UNABLE, "waits smime-no-identity"),
        ("always", FOREIGN, "refused smime-foreign-author"),
    ],
)
def test_signing(sign: str, author: Author, expected: str) -> None:
    assert outcome(Smime(sign=sign), author=author, answer=None) == expected


@pytest.mark.parametrize(
    ("encrypt", "without", "answer", "expected"),
    [
        ("never", "reject", None, "plain"),
        ("when-possible", "reject", FOUND, "encrypted"),
        ("when-possible", "reject", NONE, "plain"),
        ("when-possible", "reject", DOWN, "waits smime-directory"),
        ("required", "reject", FOUND, "encrypted"),
        ("required", "reject", NONE, f"refused {Word.SMIME_NO_CERTIFICATE}"),
        ("required", "reject", DOWN, "waits smime-directory"),
        ("required", "hold", NONE, f"held {Word.SMIME_NO_CERTIFICATE}"),
        ("required", "hold", DOWN, "waits smime-directory"),
        ("required", "tls", NONE, "plain"),
        ("required", "tls", FOUND, "encrypted"),
        ("required", "tls", DOWN, "waits smime-directory"),
    ],
)
def test_encrypting(encrypt: str, without: str, answer: DirectoryAnswer | None, expected: str) -> None:
    assert outcome(Smime(encrypt=encrypt, without_certificate=without), answer=answer) == expected


@pytest.mark.parametrize(
    ("kind", "proven", "already", "expected"),
    [
        (Kind.SIGNED, True, "pass", "encrypted"),  # the author's signature is what the contract wants
        (Kind.OPAQUE, True, "pass", "encrypted"),
        (Kind.SIGNED, False, "pass", "signed+encrypted"),  # it only says so
        (Kind.PGP_SIGNED, False, "pass", "signed+encrypted"),
        (Kind.ENCRYPTED, True, "pass", "plain"),
        (Kind.ENCRYPTED, False, "pass", "signed+encrypted"),
        (Kind.PGP_ENCRYPTED, True, "pass", "plain"),
        (Kind.PGP_INLINE, False, "pass", "signed+encrypted"),
        (Kind.ENCRYPTED, True, "wrap", "signed+encrypted"),
        (Kind.SIGNED, True, "wrap", "signed+encrypted"),
        (Kind.ENCRYPTED, True, "reject", "refused already-protected"),
        (Kind.PGP_INLINE, False, "reject", "refused already-protected"),
        (Kind.PLAIN, False, "reject", "signed+encrypted"),
    ],
)
def test_mail_that_its_author_has_protected(kind: Kind, proven: bool, already: str, expected: str) -> None:
    assert outcome(replace(BOTH, already_protected=already), Found(kind, proven)) == expected


def test_what_is_less_than_could_be_is_noted() -> None:
    wish = Smime(sign="when-possible", encrypt="when-possible")
    copy = copy_for(wish, PLAIN, UNABLE, NONE)
    assert isinstance(copy, Copy)
    assert copy.note == "not signed: her certificate has expired; not encrypted: no certificate (nowhere)"


SMIMES = st.builds(
    Smime,
    sign=st.sampled_from(["never", "when-possible", "always"]),
    encrypt=st.sampled_from(["never", "when-possible", "required"]),
    without_certificate=st.sampled_from(["reject", "hold", "tls"]),
    already_protected=st.sampled_from(["pass", "wrap", "reject"]),
)


@given(SMIMES, st.sampled_from(Kind), st.booleans(), st.sampled_from([ABLE, UNABLE, FOREIGN]), st.data())
def test_nothing_leaves_as_less_than_the_contract_says(
    smime: Smime, kind: Kind, proven: bool, author: Author, data: st.DataObject
) -> None:
    answer = data.draw(st.sampled_from([FOUND, NONE, DOWN])) if smime.encrypt != "never" else None
    copy = copy_for(smime, Found(kind, proven), author, answer)
    if isinstance(copy, Failure):
        return
    by_author = proven and smime.already_protected == "pass"
    sealed = by_author and kind in (Kind.ENCRYPTED, Kind.PGP_ENCRYPTED)
    if smime.encrypt == "required" and copy.certificate is None:
        assert sealed or smime.without_certificate == "tls"
    if smime.sign == "always" and not copy.sign:
        assert sealed or (by_author and kind in (Kind.SIGNED, Kind.OPAQUE, Kind.PGP_SIGNED))
    assert not copy.sign or author is ABLE


def test_a_structure_nobody_may_sign_is_a_reason_where_it_matters() -> None:
    demanded = not_transformable(BOTH, Copy(sign=True, certificate=BOB), "no-boundary", "a multipart names no boundary")
    assert isinstance(demanded, Failure)
    assert demanded.reason == "smime-structure: no-boundary: a multipart names no boundary"
    wished = Smime(sign="when-possible", encrypt="when-possible")
    assert not_transformable(wished, Copy(sign=True, certificate=BOB), "nul", "there is a NUL").endswith("(nul)")  # type: ignore[union-attr]


SEALED, SIGNED = Copy(sign=True, certificate=BOB), Copy(sign=True)


@pytest.mark.parametrize(
    ("copies", "visible", "expected"),
    [
        ({0: SEALED, 1: SEALED}, [0, 1], [(0, 1)]),
        ({0: SEALED, 1: SEALED, 2: SEALED}, [0], [(0,), (1,), (2,)]),  # blind copies know of nobody
        ({0: SEALED, 1: SIGNED, 2: SEALED}, [0, 1, 2], [(0, 2), (1,)]),
        ({0: SIGNED, 1: SIGNED}, [], [(0, 1)]),  # a signature names no reader
        ({}, [], []),
    ],
)
def test_who_shares_an_envelope(copies: dict[int, Copy], visible: list[int], expected: list[tuple[int, ...]]) -> None:
    assert envelopes(copies, visible) == expected
