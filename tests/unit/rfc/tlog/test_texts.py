"""Notes, checkpoints, cosignatures, receipts and requests to witnesses: C2SP's texts."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import TlogError
from mta.rfc.tlog.checkpoint import Checkpoint, cosign, cosignatures, cosigned_at, open_checkpoint, read_checkpoint
from mta.rfc.tlog.event import entry_of
from mta.rfc.tlog.grow import Frontier, append
from mta.rfc.tlog.merkle import EMPTY, leaf_hash, prove_consistency, prove_inclusion
from mta.rfc.tlog.note import KeyType, Note, VerifierKey, read_key, read_note, sign_note, verify_note
from mta.rfc.tlog.proof import Receipt, read_receipt, verify_receipt, write_receipt
from mta.rfc.tlog.tiles import Bundle, Tile, is_of, nodes, read_bundle, read_path, write_bundle
from mta.rfc.tlog.witness import (
    SIZE_TYPE,
    AddCheckpoint,
    Known,
    judge,
    read_answer,
    read_known_size,
    read_request,
    write_request,
)

ORIGIN = "keys.contoso.example/log"
LOG_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
WITNESS_KEY = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
LOG = VerifierKey(ORIGIN, LOG_KEY.public_key().public_bytes_raw())
WITNESS = VerifierKey("fabrikam.example/witness", WITNESS_KEY.public_key().public_bytes_raw(), KeyType.COSIGNATURE)
ENTRIES = [bytes([number]) * 32 for number in range(9)]


class Log:
    """A small log: its tiles, and checkpoints at any size."""

    def __init__(self, entries: list[bytes]) -> None:
        self.leaves = [leaf_hash(entry) for entry in entries]
        self.tree, growth = append(Frontier(), self.leaves)
        self.tiles = {(tile.level, tile.index): data for tile, data in growth.items()}

    def node(self, size: int) -> Callable[[int, int], bytes]:
        return nodes(size, lambda tile: self.tiles.get((tile.level, tile.index), b""))

    def checkpoint(self, size: int, origin: str = ORIGIN) -> Checkpoint:
        return Checkpoint(origin, size, append(Frontier(), self.leaves[:size])[0].root())

    def signed(self, size: int, origin: str = ORIGIN) -> Note:
        text = self.checkpoint(size, origin).text()
        return Note(text, (sign_note(text, LOG, LOG_KEY.sign),))

    def receipt(self, index: int, size: int, note: Note, extra: bytes = b"") -> Receipt:
        return Receipt(index, tuple(prove_inclusion(index, size, self.node(size))), str(note).encode(), extra)


LOG_OF_9 = Log(ENTRIES)


# --- notes ---

SALVATORE = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+Eh"
    "fLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)
# The key of Go's sumdb, as it stands in the source of Go
SUMDB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"


def test_the_note_of_the_specification_is_read_and_written() -> None:
    note = read_note(SALVATORE.encode())
    assert note.text.endswith("\n\ned è subito sera.\n")
    [signature] = note.signatures
    assert (signature.name, signature.id.hex(), len(signature.octets)) == (
        "quasimodo.example/salvatore",
        "367ba04b",
        64,
    )
    assert str(note) == SALVATORE


def test_the_key_of_gos_checksum_database() -> None:
    key = read_key(SUMDB)
    assert (key.name, key.type) == ("sum.golang.org", KeyType.ED25519)
    assert str(key) == SUMDB


@pytest.mark.parametrize(
    "text", ["", "a", "a+b", "a+00000000+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", SUMDB[:-4], "x y+033de0ae+AA=="]
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(TlogError):
        read_key(text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        SALVATORE.encode()[:-1],
        SALVATORE.replace("— ", "- ").encode(),
        SALVATORE.replace("salvatore", "salva+tore").encode(),
        SALVATORE.replace("salvatore", "salva\u2003tore").encode(),
        SALVATORE.replace("solo", "solo\r").encode(),
        SALVATORE.replace("Nnug", "N!ug").encode(),
        SALVATORE.encode("latin-1", "replace"),
        b"x\n\n" + b"\xe2\x80\x94 a AAAAAAA=\n" * 65,
        b"x" * (256 * 1024 + 1),
    ],
)
def test_what_is_no_note(data: bytes) -> None:
    with pytest.raises(TlogError):
        read_note(data)


def test_strangers_signatures_are_passed_over_and_wrong_ones_of_ours_are_not() -> None:
    text = "hello\n"
    ours, theirs = (
        sign_note(text, LOG, LOG_KEY.sign),
        sign_note(text, VerifierKey("other", bytes(32)), lambda _: bytes(64)),
    )
    assert verify_note(Note(text, (theirs, ours)), [LOG]) == [LOG]
    with pytest.raises(TlogError, match="known key"):
        verify_note(Note(text, (theirs,)), [LOG])
    with pytest.raises(TlogError, match="does not hold"):
        verify_note(Note("hallo\n", (ours,)), [LOG])


# --- checkpoints ---


def test_a_checkpoint_round_trip() -> None:
    checkpoint, note = open_checkpoint(str(LOG_OF_9.signed(5)).encode(), LOG)
    assert checkpoint == LOG_OF_9.checkpoint(5)
    assert note.text == f"{ORIGIN}\n5\n{base64.b64encode(checkpoint.root).decode()}\n"
    assert read_checkpoint(note.text + "more\n").extensions == ("more",)


ROOT = base64.b64encode(EMPTY).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "o\n5\n",
        f"\n5\n{ROOT}\n",
        f"o\n05\n{ROOT}\n",
        f"o\n-5\n{ROOT}\n",
        f"o\n٥\n{ROOT}\n",
        f"o\n{2**63}\n{ROOT}\n",
        "o\n5\nAAAA\n",
        f"o\n5\n{ROOT}",
        f"o\n5\n{ROOT}\n\n",
        f"o\n\n{ROOT}\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(TlogError):
        read_checkpoint(text)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    with pytest.raises(TlogError, match="another log"):
        open_checkpoint(str(LOG_OF_9.signed(5, "other.example/log")).encode(), LOG)


def test_a_witness_says_what_it_saw_and_when() -> None:
    note = LOG_OF_9.signed(5)
    cosigned = cosign(note.text, WITNESS, WITNESS_KEY.sign, 1_700_000_000)
    assert cosigned_at(note.text, cosigned, WITNESS) == 1_700_000_000
    assert cosignatures(Note(note.text, (*note.signatures, cosigned)), [WITNESS, LOG]) == {WITNESS: 1_700_000_000}
    for text, key in (
        ("x" + note.text, WITNESS),
        (note.text, LOG),
        (note.text, VerifierKey("x", WITNESS.key, KeyType.COSIGNATURE)),
    ):
        with pytest.raises(TlogError):
            cosigned_at(text, cosigned, key)
    with pytest.raises(TlogError):
        cosign(note.text, LOG, LOG_KEY.sign, 0)


# --- receipts ---


@pytest.mark.parametrize("index", range(9))
def test_a_receipt_round_trip(index: int) -> None:
    note = LOG_OF_9.signed(9)
    cosigned = cosign(note.text, WITNESS, WITNESS_KEY.sign, 17)
    receipt = LOG_OF_9.receipt(index, 9, Note(note.text, (*note.signatures, cosigned)), b"salt and event")
    data = write_receipt(receipt)
    assert data.startswith(b"c2sp.org/tlog-proof@v1\nextra ")
    assert read_receipt(data) == receipt
    proven = verify_receipt(receipt, ENTRIES[index], LOG, [WITNESS], needed=1)
    assert (proven.checkpoint.size, proven.witnesses) == (9, {WITNESS: 17})
    with pytest.raises(TlogError, match="not in the log"):
        verify_receipt(receipt, b"another", LOG)


def test_too_few_witnesses() -> None:
    receipt = LOG_OF_9.receipt(0, 9, LOG_OF_9.signed(9))
    verify_receipt(receipt, ENTRIES[0], LOG)
    with pytest.raises(TlogError, match="1 are needed"):
        verify_receipt(receipt, ENTRIES[0], LOG, [WITNESS], needed=1)


def test_every_octet_of_a_receipt_flipped() -> None:
    data = write_receipt(LOG_OF_9.receipt(3, 9, LOG_OF_9.signed(9)))
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(TlogError):
            verify_receipt(read_receipt(changed), ENTRIES[3], LOG)


# --- tiles ---


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(1, 1234067), "tile/1/x001/x234/067"),
        (Tile(0, 273, 112), "tile/0/273.p/112"),
        (Tile(63, 1000, 1), "tile/63/x001/000.p/1"),
        (Bundle(5), "tile/entries/005"),
        (Bundle(1000, 255), "tile/entries/x001/000.p/255"),
    ],
)
def test_paths(tile: Tile | Bundle, path: str) -> None:
    assert tile.path() == path
    assert read_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/001",
        "tile/0/001/x000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/../../etc/passwd",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/٠٠٠",
        "tile/entries/" + "x001/" * 40 + "001",
    ],
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(TlogError):
        read_path(path)


@pytest.mark.parametrize(
    ("tile", "size", "expected"),
    [
        (Tile(0, 0, 5), 9, True),
        (Tile(0, 0, 9), 9, True),
        (Tile(0, 0, 10), 9, False),
        (Tile(0, 0), 256, True),
        (Tile(1, 0, 1), 256, True),
        (Tile(1, 0, 1), 255, False),
        (Bundle(1, 1), 256, False),
        (Bundle(1, 1), 257, True),
    ],
)
def test_what_is_part_of_a_tree(tile: Tile | Bundle, size: int, expected: bool) -> None:
    assert is_of(tile, size) is expected


@given(st.lists(st.binary(max_size=70), max_size=256))
def test_bundles(entries: list[bytes]) -> None:
    data = write_bundle(entries)
    assert read_bundle(data, len(entries)) == entries
    for bad, width in ((data + b"\0", len(entries)), (data, len(entries) + 1), (data[:-1], len(entries))):
        if bad or width:
            with pytest.raises(TlogError):
                read_bundle(bad, width)


def test_bundles_that_are_too_large() -> None:
    for entries in ([b""] * 257, [bytes(65536)]):
        with pytest.raises(TlogError):
            write_bundle(entries)


# --- witnesses ---


def request(old: int, size: int, **changes: Any) -> bytes:
    proof = tuple(prove_consistency(old, size, LOG_OF_9.node(size))) if old <= size else ()
    values = {"old": old, "proof": proof, "checkpoint": str(LOG_OF_9.signed(size)).encode(), **changes}
    return write_request(AddCheckpoint(**values))


def asked(data: bytes, seen: int = 0) -> int:
    return judge(data, {ORIGIN: LOG}, {ORIGIN: Known(seen, LOG_OF_9.checkpoint(seen).root)} if seen else {}).status


@pytest.mark.parametrize(("old", "size"), [(0, 1), (0, 9), (3, 9), (8, 9), (9, 9), (4, 8), (0, 0)])
def test_a_witness_follows_a_log_that_only_grows(old: int, size: int) -> None:
    verdict = judge(request(old, size), {ORIGIN: LOG}, {ORIGIN: Known(old, LOG_OF_9.checkpoint(old).root)})
    assert (verdict.status, verdict.checkpoint) == (200, LOG_OF_9.checkpoint(size))
    assert read_request(request(old, size)).old == old
    answer = str(cosign(verdict.text, WITNESS, WITNESS_KEY.sign, 17))
    [signature] = read_answer(answer.encode(), verdict.text, [LOG, WITNESS])
    assert signature.by(WITNESS)


def test_what_a_witness_refuses() -> None:
    assert asked(b"old x\n\n") == 400
    assert asked(request(3, 9).replace(b"old 3", b"old 10")) == 400
    assert asked(request(3, 9, proof=(EMPTY,) * 64)) == 400
    other = str(LOG_OF_9.signed(9, "other.example")).encode()
    assert asked(request(3, 9, checkpoint=other), 3) == 404
    unsigned = str(
        Note(LOG_OF_9.checkpoint(9).text(), (sign_note("x\n", VerifierKey(ORIGIN, bytes(32)), LOG_KEY.sign),))
    ).encode()
    assert asked(request(3, 9, checkpoint=unsigned), 3) == 403
    assert asked(request(3, 9, proof=(EMPTY,)), 3) == 422
    assert asked(request(3, 9, proof=()), 3) == 422


def test_a_log_that_went_back_is_told_how_far_we_are() -> None:
    """A relay restored from an old backup learns here that it has signed more already."""
    verdict = judge(request(3, 5), {ORIGIN: LOG}, {ORIGIN: Known(9, LOG_OF_9.checkpoint(9).root)})
    assert (verdict.status, verdict.body, verdict.content_type) == (409, "9\n", SIZE_TYPE)
    assert read_known_size(verdict.body.encode()) == 9
    for body in (b"", b"9", b"09\n", b"-1\n", b"\xff\n"):
        with pytest.raises(TlogError):
            read_known_size(body)


def test_two_roots_of_one_size() -> None:
    fork = Log([b"other", *ENTRIES[1:]])
    verdict = judge(
        write_request(AddCheckpoint(9, (), str(fork.signed(9)).encode())),
        {ORIGIN: LOG},
        {ORIGIN: Known(9, LOG_OF_9.checkpoint(9).root)},
    )
    assert verdict.status == 409


@pytest.mark.parametrize("body", [b"", b"ok\n", b"\xff\n", "— x AAAAAAA=\n".encode(), b"x" * 300_000])
def test_answers_without_a_cosignature(body: bytes) -> None:
    with pytest.raises(TlogError):
        read_answer(body, LOG_OF_9.checkpoint(9).text(), [WITNESS])


# --- events ---


def test_an_entry_is_a_salted_hash_of_the_canonical_event() -> None:
    entry = entry_of(bytes(32), {"op": "open", "seq": 1})
    assert entry == entry_of(bytes(32), {"seq": 1, "op": "open"})
    assert (
        len({entry, entry_of(b"\1" * 32, {"op": "open", "seq": 1}), entry_of(bytes(32), {"op": "open", "seq": 2})}) == 3
    )
    for salt, event in ((b"", {}), (bytes(32), {"a": float("nan")})):
        with pytest.raises(TlogError):
            entry_of(salt, event)


# --- whatever comes ---

ANY = st.one_of(
    st.binary(max_size=300),
    st.text(st.sampled_from("old index extra 0159\n\n— +=ABab/."), max_size=200).map(str.encode),
    st.builds(
        lambda data, place, octet: data[: place % len(data)] + bytes([octet]) + data[place % len(data) + 1 :],
        st.sampled_from([SALVATORE.encode(), request(3, 9), write_receipt(LOG_OF_9.receipt(3, 9, LOG_OF_9.signed(9)))]),
        st.integers(0, 5000),
        st.integers(0, 255),
    ),
)


@given(ANY)
def test_any_octets_give_a_result_or_a_declared_error(data: bytes) -> None:
    assert judge(data, {ORIGIN: LOG}, {}).status in (200, 400, 403, 404, 409, 422)
    for read in (
        read_note,
        read_receipt,
        read_request,
        lambda octets: read_path(octets.decode("latin-1")),
        lambda octets: read_key(octets.decode("latin-1")),
    ):
        try:
            read(data)
        except TlogError:
            continue
