"""Whatever stands in the file: a configuration or problems, nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mta.config.validate import known_keys
from tests.unit.config.support import examined, examined_file

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 70_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        ["a.example", "*.a.example", "10.0.0.0/8", "127.0.0.1:25", "mx", "required", "any", "5d", "default"]
    ),
)
PATHS = [(), ("server",), ("connectors", "a"), ("domains", "a.example"), ("connectors", "a", "inbound")]
PATHS += [
    ("connectors", "a", "outbound"),
    ("connectors", "a", "outbound", "tls"),
    ("connectors", "a", "inbound", "tls"),
]
KEYS = st.sampled_from(
    sorted({key for path in PATHS for key in known_keys(path)} | {"a.example", "a", "default", "on"})
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=30,
)
YAMLISH = st.text(alphabet="ab:- {}[]\"'\n\t&*!|>#?%,019~.\u00e9\u2028\x85\ufeff", max_size=120)


def judge(text: str) -> None:
    examination = examined(text)
    assert (examination.configuration is None) == bool(examination.problems)
    for problem in (*examination.problems, *examination.warnings):
        assert problem.line >= 1
        assert problem.col >= 1
        assert len(str(problem).splitlines()) == 1


@given(st.one_of(st.text(max_size=200), YAMLISH))
def test_arbitrary_text(text: str):
    judge(text)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, TREES, TREES)
def test_arbitrary_trees_of_known_words(server: object, domains: object, connectors: object):
    judge(json.dumps({"server": server, "domains": domains, "connectors": connectors}))
    judge(
        json.dumps(
            {"server": {"hostname": "a.example"}, "connectors": {"a": connectors}, "domains": {"a.example": domains}}
        )
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=100))
def test_arbitrary_octets(tmp_path: Path, content: bytes):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    assert examined_file(path).problems
