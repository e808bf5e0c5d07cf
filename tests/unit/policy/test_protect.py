"""Whether mail is protected, and which way each recipient's copy then goes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from mta.contract.connectors import Connector
from mta.contract.outbound import Outbound, OutboundTls, Protect
from mta.contract.protection import Label, Trigger
from mta.contract.smime import Smime
from mta.model.attempt import Scope
from mta.model.directory import Candidate, DirectoryAnswer, DirectoryStatus, TrustRung
from mta.model.rights import expand
from mta.model.tls import TlsLevel
from mta.policy.protect import (
    Marks,
    concerns,
    document,
    line_suffices,
    matches,
    needs_text,
    refused_reader,
    smime_for,
    wanted,
    way_of,
)
from mta.policy.transform import Author, Copy, Found, copy_for, to_portal
from mta.rfc.smime.kind import Kind

OURS = frozenset({"contoso.example"})
MARKS = Marks(
    "Re: [Secure] the plan",
    {"x-protect": ("Yes",), "sensitivity": ("Company-Confidential",)},
    1000,
    "a patient\n file of DE123",
)
TRIGGERS = [
    (Trigger("l", subject="[secure]"), True),
    (Trigger("l", subject="[sec]"), False),
    (Trigger("l", header=(("x-protect", "yes"),)), True),
    (Trigger("l", header=(("x-protect", "no"),)), False),
    (Trigger("l", header=(("x-other", "yes"),)), False),
    (Trigger("l", sensitivity="company-confidential"), True),
    (Trigger("l", sensitivity="private"), False),
    (Trigger("l", words=("nothing", "patient file")), True),
    (Trigger("l", words=("PLAN",)), True),
    (Trigger("l", words=("pat",)), False),
    (Trigger("l", pattern=re.compile(r"\bDE\d+")), True),
    (Trigger("l", pattern=re.compile(r"\bFR\d+")), False),
    (Trigger("l", size=1000), True),
    (Trigger("l", size=1001), False),
    (Trigger("l", subject="[secure]", size=1001), False),
    (Trigger("l", subject="[secure]", words=("plan",)), True),
    (Trigger("l"), False),
]


@pytest.mark.parametrize(("trigger", "found"), TRIGGERS)
def test_a_mark_is_found_where_all_that_is_set_holds(trigger: Trigger, found: bool):
    assert bool(matches(trigger, MARKS)) is found


def outbound(when: str = "never", level: TlsLevel = TlsLevel.ENCRYPTED, **smime: str) -> Outbound:
    return Outbound(tls=OutboundTls(level=level), smime=Smime(**smime), protect=Protect(when, "usual"))  # type: ignore[arg-type]


TAG = (Trigger("tagged", subject="[secure]"),)
WISHES = [
    (outbound(), True, ""),
    (outbound("triggers"), True, "tagged"),
    (outbound("triggers"), False, ""),
    (outbound("always"), True, "tagged"),
    (outbound("always"), False, "usual"),
    (outbound("unencrypted"), False, "usual"),
    (outbound(encrypt="required", without_certificate="portal"), False, "usual"),
    (outbound(encrypt="required", without_certificate="portal"), True, "usual"),
    (outbound(encrypt="when-possible", without_certificate="portal"), True, ""),
]


@pytest.mark.parametrize(("out", "ours", "label"), WISHES)
def test_marks_count_for_our_own_mail_alone(out: Outbound, ours: bool, label: str):
    wish = wanted(out, TAG, MARKS, ours=ours)
    assert (wish.label if wish else "") == label


def test_text_is_read_only_where_a_trigger_asks_for_it():
    assert not needs_text(outbound("triggers"), TAG)
    assert not needs_text(outbound("always"), (Trigger("l", words=("a",)),))
    assert needs_text(outbound("triggers"), (Trigger("l", words=("a",)),))


CHOSEN = Candidate(b"der", "folder", TrustRung.MANUAL, "bob@fabrikam.example")
HAS = DirectoryAnswer(DirectoryStatus.FOUND, chosen=CHOSEN)
NONE = DirectoryAnswer(DirectoryStatus.NONE)
AWAY = DirectoryAnswer(DirectoryStatus.TEMPORARY)
WAYS = [
    (outbound("always"), NONE, "portal"),
    (outbound("always", TlsLevel.VERIFIED), NONE, "portal"),
    (outbound("always", encrypt="when-possible"), HAS, "smime"),
    (outbound("always", encrypt="when-possible"), NONE, "portal"),
    (outbound("always", encrypt="when-possible"), AWAY, "none"),
    (outbound("always", encrypt="required"), NONE, "portal"),
    (outbound("always", TlsLevel.VERIFIED, encrypt="required", without_certificate="tls"), NONE, "tls"),
    (outbound("always", TlsLevel.VERIFIED, encrypt="required", without_certificate="tls"), HAS, "smime"),
    (outbound("unencrypted"), NONE, "portal"),
    (outbound("unencrypted", TlsLevel.VERIFIED), NONE, "tls"),
    (outbound("unencrypted", TlsLevel.PINNED, encrypt="when-possible"), HAS, "smime"),
    (outbound("unencrypted", TlsLevel.PINNED, encrypt="required"), NONE, "portal"),
    (outbound(encrypt="required", without_certificate="portal"), NONE, "portal"),
    (outbound(encrypt="required", without_certificate="portal"), AWAY, "none"),
    (outbound(encrypt="required", without_certificate="portal", sign="always"), NONE, "portal"),
]


@pytest.mark.parametrize(("out", "answer", "expected"), WAYS)
def test_certificates_first_then_the_line_where_the_contract_says_so_then_the_portal(
    out: Outbound, answer: DirectoryAnswer, expected: str
):
    wish = wanted(out, (), MARKS, ours=True)
    assert wish is not None
    smime = smime_for(out, wish)
    copy = None
    if smime is not None:
        asked = answer if smime.encrypt != "never" else None
        copy = copy_for(smime, Found(Kind.PLAIN), Author(ours=False), asked)
    way = way_of(out, wish, copy)
    assert way.way == expected
    if expected == "portal":
        assert [name for name, reason in way.others if reason] == ["smime", "tls"]
        assert copy is None or (not isinstance(copy, Copy) and to_portal(copy))
    if isinstance(copy, Copy) and copy.certificate is None:
        assert line_suffices(out, wish)  # nothing that is to be protected leaves bare by mistake


def test_a_default_contract_concerns_no_mail_to_ourselves():
    mine = Connector("default", outbound=outbound("always"))
    assert concerns(mine, False)
    assert not concerns(mine, True)
    assert concerns(replace(mine, name="inside"), True)
    assert not concerns(replace(mine, name="inside", own_outbound=False), True)
    assert not concerns(Connector("default"), False)


def test_who_the_label_leaves_out_is_held():
    label = Label("l", rights=expand("viewer"), readers=("internal", "@fabrikam.example"))
    assert refused_reader(label, "bob@fabrikam.example", OURS) is None
    refused = refused_reader(label, "eve@tailspin.example", OURS)
    assert refused is not None
    assert (refused.scope, refused.permanent) == (Scope.CONTRACT, False)
    assert refused_reader(Label("l"), "eve@tailspin.example", OURS) is None


def test_the_document_says_what_is_enforced():
    out = outbound("always")
    wish = wanted(out, (), MARKS, ours=False)
    assert wish is not None
    told = document(Label("usual", rights=expand("do-not-forward")), wish, way_of(out, wish, None))
    assert told["rights"]["REPLY"] == "enforced"
    assert "FORWARD" not in told["rights"]
    assert (told["label"], told["way"], told["why"]) == ("usual", "portal", "outbound.protect: always")
