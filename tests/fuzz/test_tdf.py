"""Whatever stands in a protected file: a result or a declared error; and never another payload under the same key."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mta.errors import TdfError
from mta.rfc.tdf.manifest import read_key_access, read_manifest
from mta.rfc.tdf.open import read_protected, unlock
from mta.rfc.tdf.policy import read_policy
from tests.support.protected import KEY, packed, parts, raw_zip, sealed

PLAIN = bytes(range(40))
FINE = sealed(PLAIN, name="a.txt", policy_token="a.b.c")
PAYLOAD, MANIFEST = parts(FINE)


def spliced(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """The data with pieces replaced: places wrap around."""
    for place, length, piece in edits:
        at = place % (len(data) + 1)
        data = data[:at] + piece + data[at + length :]
    return data


EDITS = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 60), st.binary(max_size=30)), min_size=1, max_size=4)
ANY_FILE = st.one_of(
    st.binary(max_size=200),
    st.builds(spliced, st.just(FINE), EDITS),
    st.builds(
        lambda entries: raw_zip(*entries),
        st.lists(
            st.tuples(st.sampled_from(["0.payload", "0.manifest.json", "manifest.json", "x"]), st.binary(max_size=20)),
            max_size=3,
        ),
    ),
)


@given(ANY_FILE)
def test_any_file(data: bytes) -> None:
    try:
        found = b"".join(unlock(read_protected(io.BytesIO(data)), KEY).chunks())
    except TdfError:
        return
    assert found == PLAIN


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for name, part in inside for path in paths(part, (*here, name)))]


PLACES = [path for path in paths(MANIFEST) if path]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode()),
    st.just([]),
    st.just({}),
    st.just([{}]),
    st.sampled_from(
        [
            MANIFEST["assertions"],
            MANIFEST["payload"],
            MANIFEST["assertions"][0]["binding"],
            "0.payload",
            "HS256",
            "GMAC",
        ]
    ),
)


def with_value(path: tuple[Any, ...], value: Any, gone: bool) -> dict[str, Any]:
    changed: Any = json.loads(json.dumps(MANIFEST))
    place = changed
    for name in path[:-1]:
        place = place[name]
    if gone:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed  # type: ignore[no-any-return]


@given(st.sampled_from(PLACES), VALUES, st.booleans())
def test_any_value_at_any_place_of_the_manifest(path: tuple[Any, ...], value: Any, gone: bool) -> None:
    manifest = with_value(path, value, gone)
    try:
        file = unlock(read_protected(io.BytesIO(packed(PAYLOAD, manifest))), KEY)
        found = b"".join(file.chunks())
    except TdfError:
        return
    assert found == PLAIN
    if file.facts is not None:
        assert (file.facts.name, file.facts.mime_type) == ("a.txt", "application/octet-stream")


@given(
    st.recursive(
        VALUES,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["payload", "uuid", "body", "dissem", "type", "wrappedKey", "policyBinding"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=10,
    )
)
def test_any_json(value: Any) -> None:
    text = json.dumps(value).encode()
    for read in (
        lambda: read_manifest(text, 0),
        lambda: read_key_access(value),
        lambda: read_policy(base64.b64encode(text).decode()),
    ):
        try:
            read()
        except TdfError:
            continue


@given(st.text(max_size=50))
def test_any_text_as_a_policy(text: str) -> None:
    try:
        read_policy(text)
    except TdfError:
        return
    raise AssertionError("a policy of fewer than 50 characters")
