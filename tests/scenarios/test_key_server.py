"""The key server against clients that are honest, and against those that are not."""

from __future__ import annotations

import base64
import io
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from mta.rfc.tdf.open import read_protected
from mta.rfc.tdf.policy import bind, read_policy, write_policy
from mta.rfc.tlog.checkpoint import cosignatures
from mta.rfc.tlog.note import read_key, read_note
from mta.rfc.tlog.witness import AddCheckpoint, write_request
from tests.support.key_server import BOB, CONFIG, EVE, REWRAP, Client, KeyServer, packed, running_key_server
from tests.support.running_mta import until

FORBIDDEN, BAD = "desc = forbidden", "desc = bad request"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyServer]:
    with running_key_server(tmp_path_factory.mktemp("keys")) as running:
        yield running


@pytest.mark.parametrize("size", [0, 1, 2 * 1024 * 1024])
def test_a_reader_gets_the_content_key(server: KeyServer, size: int):
    content = secrets.token_bytes(size)
    container, _ = server.protect(content)
    assert Client(server).open(container) == content


def test_who_has_no_grant_is_forbidden_and_told_nothing_more(server: KeyServer):
    container, item = server.protect(b"x")
    unknown, _ = server.protect(b"y")
    server.command("protected", "shred", json.loads(json.dumps(item))["item"])
    answers = {Client(server, "eve").outcome(container), Client(server, "eve").outcome(unknown)}
    assert answers == {"rpc error: code = PermissionDenied desc = forbidden"}


def test_a_reader_without_export_gets_no_key(server: KeyServer):
    container, _ = server.protect(b"x", "closed")
    assert FORBIDDEN in Client(server).outcome(container)
    assert "no-right" in server.log()[-1]["reason"]


def test_revoking_and_expiry_hold_for_every_later_request(server: KeyServer):
    container, item = server.protect(b"x")
    assert Client(server).outcome(container) == "permit"
    server.command("protected", "revoke", item["item"], "--reader", BOB)
    assert FORBIDDEN in Client(server).outcome(container)
    short, _ = server.protect(b"x", "open", BOB, "--expires", "1s")
    until(lambda: FORBIDDEN in Client(server).outcome(short), describe="it expires")
    until(lambda: any(e["op"] == "expire" for e in server.log()), describe="its share is destroyed by itself")


def test_an_insiders_wider_policy_is_refused(server: KeyServer):
    """She has the content key, writes Eve into the policy and binds it: the reference server hands Eve the key."""
    container, _ = server.protect(b"x")
    manifest = read_protected(io.BytesIO(container)).manifest
    bob = Client(server)
    status, answer = bob.rewrap(bob.token(), bob.request(manifest))
    assert status == 200
    told = read_policy(manifest.policy)
    wider = write_policy(replace(told, readers=(BOB, EVE)))
    from tests.support.key_server import _OAEP

    wrapped = base64.b64decode(answer["responses"][0]["results"][0]["kasWrappedKey"])
    content_key = bob.session.decrypt(wrapped, _OAEP)  # type: ignore[union-attr]
    binding = {"alg": "HS256", "hash": bind(content_key, wider)}
    for client in (Client(server, "eve"), Client(server)):
        assert FORBIDDEN in client.outcome(container, wider, policyBinding=binding)
    assert "changed-policy" in server.log()[-1]["reason"]


def test_what_was_tampered_with_is_a_bad_request(server: KeyServer):
    container, _ = server.protect(b"x")
    other = {"alg": "HS256", "hash": base64.b64encode(b"0" * 64).decode()}
    assert BAD in Client(server).outcome(container, policyBinding=other)


@pytest.mark.parametrize("kid", ["r2", "r1", "", "../r1", "r9+s"])
def test_a_foreign_key_id_opens_nothing(server: KeyServer, kid: str):
    container, _ = server.protect(b"x")
    answer = Client(server).outcome(container, kid=kid)
    assert FORBIDDEN in answer or BAD in answer


def test_a_wrapped_key_of_nobody_is_forbidden(server: KeyServer):
    container, _ = server.protect(b"x")
    random = base64.b64encode(secrets.token_bytes(256)).decode()
    assert FORBIDDEN in Client(server).outcome(container, wrappedKey=random)
    assert FORBIDDEN in Client(server).outcome(container, wrappedKey=random, kid="r7")


def test_which_check_of_a_wrapped_key_failed_is_not_told(server: KeyServer):
    """No oracle for the root key: PKCS #1 v1.5, no padding at all, and a good padding around another key."""
    container, _ = server.protect(b"x")
    spki = json.loads(server.ask("GET", "/kas/v2/kas_public_key?algorithm=rsa:2048&v=2")[1])["publicKey"]
    root = load_pem_public_key(spki.encode())
    assert isinstance(root, RSAPublicKey)
    oaep = padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)
    wrapped = [
        root.encrypt(secrets.token_bytes(32), padding.PKCS1v15()),
        b"\0" + secrets.token_bytes(255),
        root.encrypt(secrets.token_bytes(32), oaep),
        root.encrypt(secrets.token_bytes(5), oaep),
    ]
    outcomes = {
        Client(server).outcome(container, wrappedKey=base64.b64encode(each).decode(), kid="r1") for each in wrapped
    }
    assert outcomes == {f"rpc error: code = InvalidArgument {BAD}"}


def test_what_a_program_says_it_will_keep_gives_it_no_right(server: KeyServer):
    """A header of promises (obligations) is a program's own word: the right to take it out is still wanting."""
    container, _ = server.protect(b"x", "closed")
    bob = Client(server)
    promised = {"obligations": {"fulfillableFQNs": ["https://localhost/attr/right/value/export", "*"]}}
    headers = {"X-Rewrap-Additional-Context": base64.b64encode(json.dumps(promised).encode()).decode()}
    _, answer = bob.rewrap(bob.token(), bob.request(read_protected(io.BytesIO(container)).manifest), **headers)
    [result] = answer["responses"][0]["results"]
    assert FORBIDDEN in result["error"]


def test_a_request_is_good_once(server: KeyServer):
    container, _ = server.protect(b"x")
    bob = Client(server)
    token, srt = bob.token(), bob.request(read_protected(io.BytesIO(container)).manifest)
    assert bob.rewrap(token, srt)[0] == 200
    assert bob.rewrap(token, srt)[0] == 403


BAD_TOKENS = ["", "x", "eyJhbGciOiJub25lIn0.e30.", "a.b.c", "Bearer"]


@pytest.mark.parametrize("token", BAD_TOKENS)
def test_no_token_no_key(server: KeyServer, token: str):
    container, _ = server.protect(b"x")
    bob = Client(server)
    status, answer = bob.rewrap(token, bob.request(read_protected(io.BytesIO(container)).manifest))
    assert (status, answer["code"]) == (401, "unauthenticated")


def test_algorithm_none_is_no_signature(server: KeyServer):
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    claims = json.dumps({"iss": server.url, "aud": f"{server.url}/kas", "email": BOB, "exp": 2**40, "iat": 0}).encode()
    token = f"{head}.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}."
    container, _ = server.protect(b"x")
    bob = Client(server)
    assert bob.rewrap(token, bob.request(read_protected(io.BytesIO(container)).manifest))[0] == 401


def test_a_wrong_secret_gets_no_token(server: KeyServer):
    with pytest.raises(AssertionError, match="invalid_client"):
        Client(server).token("guess")


def test_a_label_may_demand_that_a_program_proves_its_key(server: KeyServer):
    container, _ = server.protect(b"x", "proven")
    assert FORBIDDEN in Client(server).outcome(container)
    assert "not-proven" in server.log()[-1]["reason"]
    assert Client(server, dpop=True).open(container) == b"x"


def test_a_bound_token_is_of_no_use_without_its_key(server: KeyServer):
    container, _ = server.protect(b"x")
    manifest = read_protected(io.BytesIO(container)).manifest
    bob = Client(server, dpop=True)
    token = bob.token()
    thief, other = Client(server), Client(server, dpop=True)
    assert thief.rewrap(token, thief.request(manifest))[0] == 401
    assert other.rewrap(token, other.request(manifest))[0] == 401
    assert bob.rewrap(token, bob.request(manifest))[0] == 200


def test_with_a_proof_the_request_must_be_signed_by_its_key(server: KeyServer):
    container, _ = server.protect(b"x")
    bob, forger = Client(server, dpop=True), Client(server)
    srt = forger.request(read_protected(io.BytesIO(container)).manifest)
    assert bob.rewrap(bob.token(), srt)[0] == 400


def test_bodies_come_packed_and_bombs_do_not_explode(server: KeyServer):
    container, _ = server.protect(b"x")
    bob = Client(server)
    token, srt = bob.token(), bob.request(read_protected(io.BytesIO(container)).manifest)
    body = json.dumps({"signedRequestToken": srt}).encode()
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {token}",
        "Content-Encoding": "gzip",
    }
    assert server.ask("POST", REWRAP, packed(body), headers)[0] == 200
    assert server.ask("POST", REWRAP, packed(b" " * 100_000_000), headers)[0] == 429
    assert server.ask("POST", REWRAP, packed(body)[:-9], headers)[0] == 400


def test_a_session_key_on_a_curve(server: KeyServer):
    container, _ = server.protect(b"x")
    bob = Client(server, session=ec.generate_private_key(ec.SECP256R1()))
    status, answer = bob.rewrap(bob.token(), bob.request(read_protected(io.BytesIO(container)).manifest))
    assert status == 200
    assert answer["sessionPublicKey"].startswith("-----BEGIN PUBLIC KEY")


GETS = ["/.well-known/opentdf-configuration", "/kas/v2/kas_public_key?algorithm=rsa:2048&v=2", "/jwks", "/healthz"]


@pytest.mark.parametrize("path", [*GETS, "/kas/kas_public_key?v=2", "/log/checkpoint", "/log/tile/0/000.p/1"])
def test_what_everybody_may_know(server: KeyServer, path: str):
    until(lambda: server.ask("GET", path)[0] == 200, describe=path)
    status, _, headers = server.ask("GET", path)
    assert (status, headers["X-Content-Type-Options"]) == (200, "nosniff")


@pytest.mark.parametrize("path", ["/", "/log/tile/0/999", "/log/tile/../../etc/passwd", "/kas.AccessService/None"])
def test_what_is_not_there(server: KeyServer, path: str):
    status, body, _ = server.ask("GET", path)
    assert status in (404, 405)
    assert b"Traceback" not in body


def test_every_event_is_in_the_checkpoint_within_seconds(server: KeyServer):
    container, _ = server.protect(b"x")
    Client(server).open(container)
    size = len(server.log())
    until(lambda: int(server.ask("GET", "/log/checkpoint")[1].split(b"\n")[1]) >= size, 5.0)


def test_shares_and_keys_are_in_no_log(server: KeyServer):
    text = (server.folder / "web.log").read_text()
    assert "s3cret" not in text
    assert "PRIVATE" not in text


def test_two_relays_restarted_keep_their_log(tmp_path: Path):
    with running_key_server(tmp_path) as first:
        container, _ = first.protect(b"x")
        assert Client(first).open(container) == b"x"
        assert first.command("log", "verify")["ok"]


def test_a_partners_log_is_countersigned_over_http(tmp_path: Path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    with running_key_server(theirs) as partner:
        partner.protect(b"x")
        head = partner.command("log", "head")
        text = CONFIG.replace("protection:\n", f"protection:\n  log: {{cosign: ['{head['key']}']}}\n")
        with running_key_server(ours, text) as us:
            asked = write_request(AddCheckpoint(0, (), head["checkpoint"].encode()))
            status, body, _ = us.ask("POST", "/log/add-checkpoint", asked)
            assert status == 200, body
            note = read_note(head["checkpoint"].encode() + body)
            key = read_key(us.command("log", "head")["witness_key"])
            assert list(cosignatures(note, [key])) == [key]
            status, body, headers = us.ask("POST", "/log/add-checkpoint", asked)
            assert (status, body.decode().strip()) == (409, str(head["size"]))
            assert headers["content-type"].startswith("text/x.tlog.size")
            assert us.ask("POST", "/log/add-checkpoint", b"hello")[0] == 400
            status, _, _ = partner.ask("POST", "/log/add-checkpoint", asked)
            assert status == 404
