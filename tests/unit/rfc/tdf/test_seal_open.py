"""What is sealed opens as it was, in every spelling; whatever is changed gives an error, never another payload."""

from __future__ import annotations

import base64
import hmac
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import TdfError, TdfTampered, TdfUnsupported
from mta.rfc.tdf.assertion import Assertion, write_assertion
from mta.rfc.tdf.open import read_protected
from mta.rfc.tdf.seal import Sealer, Spelling, manifest_digest, seal
from tests.support.protected import KEY, POLICY, changed, content, opened, order, packed, parts, sealed

BORDERS = [0, 1, 15, 16, 17, 31, 32, 33, 160]
DATA = bytes(range(256)) * 2


@pytest.mark.parametrize("size", BORDERS)
@pytest.mark.parametrize("spelling", Spelling)
@pytest.mark.parametrize("known", [True, False])
def test_round_trip_around_the_borders_of_segments(size: int, spelling: Spelling, known: bool) -> None:
    out = io.BytesIO()
    done = seal(io.BytesIO(DATA[:size]), out, order(spelling=spelling), size if known else None)
    assert (done.size, done.container_size) == (size, len(out.getvalue()))
    assert done.segments == max(1, -(-size // 16))
    assert content(out.getvalue()) == DATA[:size]


@given(
    st.binary(max_size=200), st.integers(1, 64), st.lists(st.integers(0, 50), max_size=12), st.sampled_from(Spelling)
)
def test_round_trip_in_pieces_of_any_size(data: bytes, segment: int, cuts: list[int], spelling: Spelling) -> None:
    out, rest = io.BytesIO(), data
    sealer = Sealer(out, order(segment_size=segment, spelling=spelling))
    for cut in cuts:
        sealer.write(rest[:cut])
        rest = rest[cut:]
    sealer.write(rest)
    sealer.close()
    whole = io.BytesIO()
    assert opened(out.getvalue()).copy_to(whole) == len(data)
    assert whole.getvalue() == data
    assert parts(out.getvalue())[0] == parts(sealed(data, segment_size=segment))[0]  # however it was cut


@given(st.integers(0, 100), st.integers(0, 100))
def test_any_range_is_read(start: int, stop: int) -> None:
    assert b"".join(opened(sealed(DATA[:70])).chunks(start, stop)) == DATA[:70][start:stop]


def test_nonces_never_repeat_within_a_file() -> None:
    payload, _ = parts(sealed(DATA, nonce=b"\xff" * 12))
    nonces = [payload[place : place + 12] for place in range(0, len(payload), 44)]
    assert len(set(nonces)) == len(nonces) == len(DATA) // 16


def test_the_facts_and_our_policy_are_told_only_under_the_key() -> None:
    file = opened(sealed(b"x", name="Bericht März.xlsx", mime_type="application/pdf", policy_token="a.b.c"))
    assert file.facts is not None
    assert (file.facts.name, file.facts.mime_type, file.facts.size) == ("Bericht März.xlsx", "application/pdf", 1)
    assert file.policy_token == "a.b.c"
    bare = opened(changed(sealed(b"x", name="a", policy_token="a.b.c"), lambda manifest: manifest.pop("assertions")))
    assert (bare.facts, bare.policy_token) == (None, "")


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "..", ".", "a\nb", "x" * 256, "\u202exslx", "\ud800"])
def test_names_that_are_none_are_not_sealed(name: str) -> None:
    with pytest.raises(TdfError):
        order(name=name)


@pytest.mark.parametrize(
    "mime_type", ["", "text", "text/html\r\nX: y", "text/plain; x=\u20ac", "a/" + "b" * 128, "t\u00e9xt/plain"]
)
def test_types_that_are_none(mime_type: str) -> None:
    """They are not sealed; and of others' files they are not told, for a type stands in a header some day."""
    with pytest.raises(TdfError):
        order(mime_type=mime_type)
    container = changed(
        foreign(b"theirs", "GMAC", False), lambda manifest: manifest["payload"].update(mimeType=mime_type)
    )
    assert read_protected(io.BytesIO(container)).manifest.mime_type == "application/octet-stream"


def test_a_writer_who_gives_a_harmful_name_under_the_key() -> None:
    """Whoever has the content key can write our statement, too."""
    _, manifest = parts(sealed(b"x"))
    good = {"name": "a", "mimeType": "a/b", "size": 1, "manifest": manifest_digest(manifest)}
    for harm in (
        {"name": "../x"},
        {"name": 1},
        {"mimeType": "a/b\r\nX: y"},
        {"mimeType": None},
        {"size": 2},
        {"manifest": ""},
    ):
        statement = Assertion("mta-file", "urn:mta:file:1", json.dumps({**good, **harm}))
        hashes = base64.b64decode(integrity(manifest)["segments"][0]["hash"])
        bound = write_assertion(statement, KEY, hashes, hexadecimal=False)
        with pytest.raises(TdfTampered):
            opened(changed(sealed(b"x"), lambda manifest, bound=bound: manifest.update(assertions=[bound])))


def test_too_many_small_segments() -> None:
    """A list of them costs memory that the payload does not pay for."""
    with pytest.raises(TdfError, match="too many"):
        read_protected(io.BytesIO(sealed(bytes(1100), segment_size=1)))
    with pytest.raises(TdfError, match="values"):
        read_protected(io.BytesIO(changed(THREE, lambda manifest: manifest.update(more=[[]] * 100_000))))


def test_further_statements_are_bound_too() -> None:
    statement = Assertion("label", "urn:nato:stanag:4774", "<label/>")
    file = opened(sealed(b"x", statements=(statement,)))
    assert [found.verified for found in file.assertions if found.id == "label"] == [True]


def test_the_manifest_is_as_all_readers_want_it() -> None:
    _, manifest = parts(sealed(DATA[:20]))
    encryption = manifest["encryptionInformation"]
    integrity = encryption["integrityInformation"]
    assert manifest["schemaVersion"] == "4.3.0"
    assert encryption["policy"] == POLICY
    mac = hmac.digest(KEY, POLICY.encode(), "sha256").hex().encode()
    assert encryption["keyAccess"][0]["policyBinding"] == {"alg": "HS256", "hash": base64.b64encode(mac).decode()}
    assert integrity["encryptedSegmentSizeDefault"] == integrity["segmentSizeDefault"] + 28
    assert [segment["segmentSize"] for segment in integrity["segments"]] == [16, 4]
    tags = b"".join(base64.b64decode(segment["hash"]) for segment in integrity["segments"])
    root = base64.b64encode(hmac.digest(KEY, tags, "sha256")).decode()
    assert integrity["rootSignature"] == {"alg": "HS256", "sig": root}


def test_the_older_spelling_has_no_version_and_hexadecimal_hashes() -> None:
    _, manifest = parts(sealed(b"x", spelling=Spelling.V4_2))
    integrity = manifest["encryptionInformation"]["integrityInformation"]
    assert "schemaVersion" not in manifest
    assert len(base64.b64decode(integrity["segments"][0]["hash"])) == 32
    assert len(base64.b64decode(integrity["rootSignature"]["sig"])) == 64


# --- what other writers do ---


def foreign(data: bytes, hash_: str, hexadecimal: bool, **integrity: Any) -> bytes:
    """A file as others write it: one segment, other nonces, no assertions."""
    nonce = b"foreignnonce"
    segment = nonce + AESGCM(KEY).encrypt(nonce, data, None)
    mac = segment[-16:] if hash_ == "GMAC" else hmac.digest(KEY, segment, "sha256")
    spelled = mac.hex().encode() if hexadecimal else mac
    root = hmac.digest(KEY, spelled, "sha256")
    _, manifest = parts(sealed(b""))
    del manifest["assertions"]
    manifest["encryptionInformation"]["integrityInformation"] = {
        "rootSignature": {
            "alg": "HS256",
            "sig": base64.b64encode(root.hex().encode() if hexadecimal else root).decode(),
        },
        "segmentHashAlg": hash_,
        "segments": [
            {"hash": base64.b64encode(spelled).decode(), "segmentSize": len(data), "encryptedSegmentSize": len(segment)}
        ],
        **integrity,
    }
    return packed(segment, manifest)


@pytest.mark.parametrize("hash_", ["GMAC", "HS256"])
@pytest.mark.parametrize("hexadecimal", [False, True])
def test_every_spelling_of_hashes(hash_: str, hexadecimal: bool) -> None:
    assert content(foreign(b"theirs", hash_, hexadecimal)) == b"theirs"


def test_the_version_is_not_believed() -> None:
    """It is under no key: whoever changes it must not steer how the hashes are read."""
    for version in ("4.3.0", "4.2.2", "", None, 7):
        container = changed(
            foreign(b"theirs", "GMAC", True), lambda manifest, v=version: manifest.update(schemaVersion=v)
        )
        assert content(container) == b"theirs"


def test_sizes_left_out_are_the_defaults() -> None:
    def short(manifest: dict[str, Any]) -> None:
        integrity = manifest["encryptionInformation"]["integrityInformation"]
        integrity.update(segmentSizeDefault=6, encryptedSegmentSizeDefault=34)
        integrity["segments"] = [{"hash": integrity["segments"][0]["hash"]}]

    assert content(changed(foreign(b"theirs", "GMAC", False), short)) == b"theirs"


def test_an_empty_payload_of_no_segment() -> None:
    _, manifest = parts(foreign(b"", "GMAC", False))
    root = base64.b64encode(hmac.digest(KEY, b"", "sha256")).decode()
    manifest["encryptionInformation"]["integrityInformation"].update(segments=[], rootSignature={"sig": root})
    assert content(packed(b"", manifest)) == b""


def test_null_lists_a_bare_binding_and_an_uninformed_root() -> None:
    def older(manifest: dict[str, Any]) -> None:
        manifest["assertions"] = None
        access = manifest["encryptionInformation"]["keyAccess"][0]
        access["policyBinding"] = access["policyBinding"]["hash"]
        manifest["encryptionInformation"]["integrityInformation"]["rootSignature"]["alg"] = "hs256"

    assert content(changed(foreign(b"theirs", "GMAC", False), older)) == b"theirs"


def test_an_assertion_of_a_strangers_key_is_shown_and_not_believed() -> None:
    token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"RS256"}', b"{}", b"x"))
    theirs = {"id": "mta-file", "type": "other", "statement": {"schema": "urn:mta:file:1", "value": '{"name":"evil"}'}}

    def add(manifest: dict[str, Any]) -> None:
        manifest["assertions"] = [{**theirs, "binding": {"method": "jws", "signature": token}}]

    file = opened(changed(foreign(b"theirs", "GMAC", False), add))
    assert [found.verified for found in file.assertions] == [False]
    assert file.facts is None


# --- attacks ---

THREE = sealed(DATA[:40], name="a.txt")


def integrity(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["encryptionInformation"]["integrityInformation"]


def swap(manifest: dict[str, Any]) -> None:
    segments = integrity(manifest)["segments"]
    segments[0], segments[1] = segments[1], segments[0]


def gmac_root(manifest: dict[str, Any]) -> None:
    """What needs no key: the root is the last tag (DSPX-4703)."""
    last = integrity(manifest)["segments"][-1]["hash"]
    integrity(manifest)["rootSignature"] = {"alg": "GMAC", "sig": last}


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "segments of the manifest swapped": swap,
    "root by GMAC": gmac_root,
    "root of another": lambda m: integrity(m)["rootSignature"].update(sig=base64.b64encode(bytes(32)).decode()),
    "root empty": lambda m: integrity(m)["rootSignature"].update(sig=""),
    "no root": lambda m: integrity(m).pop("rootSignature"),
    "algorithm none": lambda m: integrity(m)["rootSignature"].update(alg="none"),
    "hash algorithm": lambda m: integrity(m).update(segmentHashAlg="HS256"),
    "hash algorithm unknown": lambda m: integrity(m).update(segmentHashAlg="CRC32"),
    "a size": lambda m: integrity(m)["segments"][0].update(segmentSize=15),
    "both sizes": lambda m: integrity(m)["segments"][0].update(segmentSize=15, encryptedSegmentSize=43),
    "a huge size": lambda m: integrity(m)["segments"][0].update(segmentSize=2**40, encryptedSegmentSize=2**40 + 28),
    "a negative size": lambda m: integrity(m)["segments"][0].update(segmentSize=-28, encryptedSegmentSize=0),
    "a size that is true": lambda m: integrity(m)["segments"][0].update(segmentSize=True, encryptedSegmentSize=29),
    "a size of a fraction": lambda m: integrity(m)["segments"][0].update(segmentSize=16.0),
    "a segment left out": lambda m: integrity(m)["segments"].pop(),
    "a segment twice": lambda m: integrity(m)["segments"].append(integrity(m)["segments"][0]),
    "a wider policy": lambda m: m["encryptionInformation"].update(policy=POLICY[:-4] + "AAAA"),
    "the binding": lambda m: m["encryptionInformation"]["keyAccess"][0].update(
        policyBinding=base64.b64encode(bytes(32)).decode()
    ),
    "the key server": lambda m: m["encryptionInformation"]["keyAccess"][0].update(url="https://evil.example/kas"),
    "the wrapped key": lambda m: m["encryptionInformation"]["keyAccess"][0].update(wrappedKey="AAAA"),
    "the version": lambda m: m.pop("schemaVersion"),
    "the type": lambda m: m["payload"].update(mimeType="text/html"),
    "the payload's place": lambda m: m["payload"].update(url="https://evil.example/payload"),
    "an unencrypted payload": lambda m: m["payload"].update(isEncrypted=False),
    "the cipher": lambda m: m["encryptionInformation"]["method"].update(algorithm="AES-256-CBC"),
    "an assertion's value": lambda m: m["assertions"][0]["statement"].update(value="{}"),
    "an assertion's schema": lambda m: m["assertions"][0]["statement"].update(schema="urn:x"),
    "an assertion's binding": lambda m: m["assertions"][0].update(binding={"method": "jws", "signature": "a.b.c"}),
    "one assertion twice": lambda m: m["assertions"].append(m["assertions"][0]),
    "no key access": lambda m: m["encryptionInformation"].update(keyAccess=[]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_manifest_gives_an_error(what: str) -> None:
    with pytest.raises(TdfError):
        content(changed(THREE, CHANGES[what]))


def test_an_assertion_of_another_file_is_refused() -> None:
    """Same key would be needed; and the hashes of the payload are in it."""
    other = parts(sealed(DATA[:39], name="b.txt"))[1]["assertions"]
    with pytest.raises(TdfTampered):
        content(changed(THREE, lambda manifest: manifest.update(assertions=other)))


def test_the_last_segment_cut_off_with_a_root_that_needs_no_key() -> None:
    payload, manifest = parts(THREE)
    integrity(manifest)["segments"].pop()
    gmac_root(manifest)
    with pytest.raises(TdfUnsupported):
        content(packed(payload[:88], manifest))


# Files of others have no statement that holds the whole manifest: each defence must stand alone.
BARE_PAYLOAD, BARE = parts(changed(sealed(DATA[:40]), lambda manifest: manifest.pop("assertions")))
LABEL = Assertion("label", "urn:x", "<label/>")


def bare(change: Callable[[dict[str, Any]], object], payload: bytes = BARE_PAYLOAD) -> bytes:
    manifest = json.loads(json.dumps(BARE))
    change(manifest)
    return packed(payload, manifest)


def test_the_root_alone_guards_number_and_order_of_segments() -> None:
    """All other parts agree with each other: payload, hashes and sizes."""
    swapped = bare(swap, BARE_PAYLOAD[44:88] + BARE_PAYLOAD[:44] + BARE_PAYLOAD[88:])
    short = bare(lambda manifest: integrity(manifest)["segments"].pop(), BARE_PAYLOAD[:88])
    empty = bare(lambda manifest: integrity(manifest).update(segments=[]), b"")
    for container in (swapped, short, empty):
        with pytest.raises(TdfTampered, match="root signature"):
            opened(container)


def test_the_binding_alone_guards_the_policy() -> None:
    with pytest.raises(TdfTampered, match="not bound"):
        opened(bare(lambda manifest: manifest["encryptionInformation"].update(policy=POLICY[:-4] + "AAAA")))


def test_nothing_hides_behind_the_segments() -> None:
    with pytest.raises(TdfError, match="do not fill"):
        opened(bare(lambda manifest: None, BARE_PAYLOAD + b"hidden"))


def test_the_two_sizes_of_a_segment_agree() -> None:
    for sizes in ({"segmentSize": 17}, {"segmentSize": 0}, {"segmentSize": 15, "encryptedSegmentSize": 44}):
        with pytest.raises(TdfError, match="sealed, the manifest says"):
            opened(bare(lambda manifest, sizes=sizes: integrity(manifest)["segments"][0].update(sizes)))


def labelled(data: bytes, change: dict[str, Any]) -> bytes:
    """A file with no statement but a label, which is changed."""

    def keep_label(manifest: dict[str, Any]) -> None:
        [label] = [value for value in manifest["assertions"] if value["id"] == "label"]
        manifest["assertions"] = [{**label, **change}]

    return changed(sealed(data, statements=(LABEL,)), keep_label)


def test_a_changed_statement_alone() -> None:
    assert [found.verified for found in opened(labelled(DATA[:40], {})).assertions] == [True]
    for change in (
        {"statement": {"format": "string", "schema": "urn:x", "value": "<public/>"}},
        {"scope": "payload"},
        {"more": 1},
    ):
        with pytest.raises(TdfTampered, match="not bound"):
            opened(labelled(DATA[:40], change))


def test_a_statement_of_another_payload_under_the_same_key() -> None:
    other = parts(labelled(DATA[:39], {}))[1]["assertions"]
    with pytest.raises(TdfTampered, match="another payload"):
        opened(bare(lambda manifest: manifest.update(assertions=other)))


def test_swapped_segments_of_the_payload_give_nothing_of_them() -> None:
    payload, manifest = parts(THREE)
    chunks = opened(packed(payload[44:88] + payload[:44] + payload[88:], manifest)).chunks()
    with pytest.raises(TdfTampered):
        next(chunks)


def test_another_key_opens_nothing() -> None:
    for key in (bytes(32), KEY[:31], b"", KEY + b"\0"):
        with pytest.raises(TdfTampered):
            opened(THREE, key)


def test_nothing_leaves_before_the_root_holds() -> None:
    broken = changed(THREE, lambda manifest: integrity(manifest)["segments"].reverse())
    with pytest.raises(TdfError):
        opened(broken)


@pytest.mark.parametrize("spelling", Spelling)
def test_every_octet_flipped(spelling: Spelling) -> None:
    """An error, or, where nothing depends on the octet (a date of the ZIP), the same payload under the same name."""
    container = sealed(DATA[:40], name="a.txt", spelling=spelling)
    for place in range(len(container)):
        data = bytearray(container)
        data[place] ^= 1 << (place % 8)
        try:
            file = opened(bytes(data))
            assert b"".join(file.chunks()) == DATA[:40], place
        except TdfError:
            continue
        assert file.facts is not None, place
        assert file.facts.name == "a.txt", place


def test_every_truncation() -> None:
    for length in range(len(THREE)):
        with pytest.raises(TdfError):
            content(THREE[:length])


def test_the_file_shrinks_while_it_is_read() -> None:
    file = io.BytesIO(THREE)
    protected = read_protected(file)
    file.truncate(50)
    from mta.rfc.tdf.open import unlock

    with pytest.raises(TdfError, match="ends before"):
        list(unlock(protected, KEY).chunks())


def test_a_name_twice_in_the_manifest_is_refused() -> None:
    payload, manifest = parts(THREE)
    text = json.dumps(manifest)[:-1] + ', "payload": {}}'
    with pytest.raises(TdfError, match="twice"):
        content(packed(payload, text.encode()))
