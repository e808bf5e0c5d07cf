"""A configuration in the making: what is written can be read again, and each difference stands where it belongs."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from mta.importers.draft import Draft, render

PLAIN = st.recursive(
    st.text(max_size=20) | st.integers(-5, 5) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=9), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.dictionaries(st.text(min_size=1, max_size=9), st.dictionaries(st.text(min_size=1, max_size=9), PLAIN)), st.text()
)
def test_what_is_written_is_read_again_whatever_stands_beside_it(connectors: dict, text: str) -> None:
    draft = Draft(connectors=connectors)
    draft.differs(text, text)
    for name in connectors:
        draft.differs("there", text, name)
    read = yaml.safe_load(render(draft, "made of a test"))
    assert read["server"] == {"hostname": "mx.invalid"}
    assert read.get("connectors", {}) == connectors


def test_a_difference_stands_above_its_connector_once() -> None:
    draft = Draft(connectors={"a": {"domains": ["a.example"]}, "b": {"domains": ["b.example"]}})
    for _ in range(2):
        draft.differs("there", "means more", "b")
    draft.differs("", "of the whole")
    lines = render(draft, "t").splitlines()
    assert lines[:2] == ["# t", "# - of the whole"]
    assert lines[lines.index("  # - there: means more") + 1] == "  b: {domains: [b.example]}"
    assert sum("means more" in line for line in lines) == 1


def test_names_are_free_and_no_word_of_ours() -> None:
    draft = Draft(connectors={"fabrikam": {}})
    assert draft.name("fabrikam") == "fabrikam-2"
    assert draft.name("Fabrikam inbound (new)") == "Fabrikam-inbound-new"
    assert draft.name("default") == "default-2"
    assert draft.name("notice") == "notice-2"
    assert draft.name("??") == "partner"


def test_a_domain_has_one_owner() -> None:
    draft = Draft(domains={"own.example": {}}, connectors={"a": {"domains": ["x.example"]}})
    assert draft.claim("b", ["x.example", "*.X.example", "own.example", "not a domain", "*.x.example"], "s") == [
        "*.x.example"
    ]
    assert [found.connector for found in draft.differences] == ["b"] * 3
