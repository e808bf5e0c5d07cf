"""`protection.triggers` and `outbound.protect`."""

from __future__ import annotations

import pytest

from tests.unit.config.support import built, examined, lines

PROTECTION = """
protection:
  root_keys: [{id: r1, key: r1.key}]
  labels: {confidential: {rights: viewer}%s}
  triggers: [%s]
"""
SERVER = (
    'server: {hostname: mx.contoso.example, portal: {address: "127.0.0.1:8443", url: "http://localhost:8443"}}\n'
    'domains: {contoso.example: {deliver_to: ["127.0.0.1:25"]}}\n'
)
WITHOUT_PORTAL = SERVER.replace(', portal: {address: "127.0.0.1:8443", url: "http://localhost:8443"}', "")


def text(protect: str, triggers: str = "", labels: str = "", server: str = SERVER) -> str:
    return f"{server}connectors: {{default: {{outbound: {{{protect}}}}}}}" + PROTECTION % (labels, triggers)


WRONG = [
    (text("protect: {when: always, label: confidental}"), "there is no label confidental (did you mean confidential?)"),
    (text("", "{subject: x, label: confidental}"), "there is no label confidental (did you mean confidential?)"),
    (text("", "{label: confidential}"), "nothing is asked for"),
    (text("", '{pattern: "(", label: confidential}'), "is no pattern"),
    (text("", '{header: {"a b": c}, label: confidential}'), "is no name of a header field"),
    (text("protect: {when: always}", labels=", open: {rights: viewer}"), "which label is meant is not said"),
    (text("protect: {when: sometimes}"), "expected"),
    (text("protect: {when: always}", server=WITHOUT_PORTAL), "readers have no page to go to"),
    (f"{SERVER}connectors: {{default: {{outbound: {{protect: {{when: always}}}}}}}}", "nothing can be protected"),
]


@pytest.mark.parametrize(("wrong", "problem"), WRONG)
def test_what_cannot_be_meant_is_told(wrong: str, problem: str):
    assert any(problem in line for line in lines(examined(wrong))), lines(examined(wrong))


def test_the_only_label_and_that_of_default_need_not_be_written():
    assert built(text("protect: {when: always}")).default.outbound.protect.label == "confidential"
    more = text("protect: {when: never, label: open}", labels=", open: {rights: viewer}")
    more = more.replace(
        "connectors: {default:",
        "connectors: {a: {domains: [a.example], inbound: {identity: none},"
        " outbound: {smime: {encrypt: required, without_certificate: portal}}}, default:",
    )
    assert built(more).connectors["a"].outbound.protect.label == "open"


def test_triggers_need_no_label_of_the_connector():
    known = built(
        text("protect: {when: triggers}", '{words: [a, "b c"], size: 1 MiB, label: open}', ", open: {rights: viewer}")
    )
    assert known.protection is not None
    [found] = known.protection.triggers
    assert (found.words, found.size, found.label) == (("a", "b c"), 1 << 20, "open")
