"""What can be learned from us about an envelope is whether it opened, and nothing about why it did not."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from mta.errors import SmimeError
from mta.model.smime import SignatureStatus
from mta.rfc.smime import algorithms as names
from mta.rfc.smime import der
from mta.rfc.smime.ber import Element, read
from mta.rfc.smime.cipher import CIPHERS, ContentCipher, seal
from mta.rfc.smime.decrypt import CANNOT, MAX_ATTEMPTS, NOT_OURS, DecryptionKey, decrypt
from mta.rfc.smime.encrypt import enveloped_data, prepare_recipient
from mta.rfc.smime.party import party
from mta.rfc.smime.profile import PROFILES, Profile, with_words
from mta.rfc.smime.sign import SigningIdentity, prepare_signer
from mta.rfc.smime.transport import RecipientKey
from mta.rfc.smime.verify import verify_signed_data
from tests.support.cms_forge import Forgery, with_key_algorithm
from tests.support.smime import ENTITY, QUANTUM_RECEIVING, RECEIVING, issue, person

DEFAULT = PROFILES["default"]
OAEP = with_words(DEFAULT, key_transport="oaep")
QUANTUM = PROFILES["post-quantum"]


def envelope(kind: str, profile: Profile = DEFAULT, content: bytes = ENTITY) -> bytes:
    return enveloped_data([prepare_recipient(person(kind).der, profile)], content, profile, os.urandom)


def encrypt(
    cipher: ContentCipher, key: bytes, content: bytes, random: Callable[[int], bytes]
) -> tuple[bytes, bytes, bytes]:
    """AlgorithmIdentifier, ciphertext and tag."""
    sealing = seal(cipher, len(content), random)
    encryptor = sealing.encryptor(key)
    sealed = encryptor.update(content) + encryptor.update(sealing.padding) + encryptor.finalize()
    return sealing.algorithm, sealed, encryptor.tag if cipher.authenticated else b""


def recipient(kind: str, change: Callable[[bytes], bytes]) -> RecipientKey:
    """A recipient whose RecipientInfo is changed before it is written."""
    real = prepare_recipient(person(kind).der, QUANTUM if kind.startswith("ml-") else DEFAULT)
    return RecipientKey(real.certificate, real.transport, real.version, lambda key: change(real.info(key)))


def with_encrypted(info: bytes, content_key: Callable[[rsa.RSAPublicKey], bytes]) -> bytes:
    """The RecipientInfo of RSA with another encrypted key inside."""
    parts = [part.raw for part in read(info).children()]
    return der.sequence(*parts[:3], der.octet_string(content_key(person("rsa").key.public_key())))


FAULTS: dict[str, Callable[[rsa.RSAPublicKey], bytes]] = {
    "a key that is too short": lambda key: key.encrypt(b"k" * 16, padding.PKCS1v15()),
    "a key that is too long": lambda key: key.encrypt(b"k" * 64, padding.PKCS1v15()),
    "no key": lambda key: key.encrypt(b"", padding.PKCS1v15()),
    "another key": lambda key: key.encrypt(b"k" * 32, padding.PKCS1v15()),
    "no padding": lambda key: pow(3, key.public_numbers().e, key.public_numbers().n).to_bytes(256, "big"),
    "a number beyond the modulus": lambda key: b"\xff" * 256,
    "the wrong length": lambda key: b"\x01" * 255,
    "nothing": lambda key: b"",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_all_failures_of_rsa_look_alike(fault: str) -> None:
    """A wrong padding and a wrong key under the right padding: no oracle (RFC 3218). GCM, so that none succeeds."""
    profile = with_words(DEFAULT, cipher="aes256-gcm")
    data = enveloped_data(
        [recipient("rsa", lambda info: with_encrypted(info, FAULTS[fault]))], ENTITY, profile, os.urandom
    )
    outcome = decrypt(data, [person("rsa").decryption_key])
    assert (outcome.content, outcome.reason, outcome.key_transport) == (None, CANNOT, "rsa-pkcs1")


class Watched(rsa.RSAPrivateKey):
    """A key that counts, as one in a token might, and raises for a bad padding, as a token does."""

    def __init__(self) -> None:
        self.asked = 0

    def decrypt(self, ciphertext: bytes, padding: Any) -> bytes:
        self.asked += 1
        raise ValueError("CKR_ENCRYPTED_DATA_INVALID")

    def __getattr__(self, name: str) -> Any:
        return getattr(person("rsa").key, name)


Watched.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


def test_the_content_is_worked_through_when_the_key_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    from mta.rfc.smime.cipher import Sealed

    worked: list[bytes] = []
    opened = Sealed.opened
    monkeypatch.setattr(Sealed, "opened", lambda self, key: worked.append(key) or opened(self, key))
    outcome = decrypt(envelope("rsa"), [DecryptionKey(person("rsa").der, Watched())])
    assert outcome.reason == CANNOT
    assert worked == [bytes(32)]


@pytest.mark.parametrize("fault", ["a key that is too short", "no key", "a key that is too long"])
def test_a_key_of_the_wrong_length_costs_the_same(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Implicit rejection answers with any length: the content is decrypted all the same."""
    from mta.rfc.smime.cipher import Sealed

    worked: list[bytes] = []
    real = Sealed._from_cbc
    monkeypatch.setattr(Sealed, "_from_cbc", lambda self, key: worked.append(key) or real(self, key))
    data = enveloped_data(
        [recipient("rsa", lambda info: with_encrypted(info, FAULTS[fault]))], ENTITY, DEFAULT, os.urandom
    )
    assert decrypt(data, [person("rsa").decryption_key]).reason == CANNOT
    assert worked == [bytes(32)]


def test_a_content_under_the_stand_in_key_is_not_released() -> None:
    """Whoever encrypts with the key that stands in for a failed one would learn of the failure."""
    fixed = iter([bytes(32), os.urandom(16)])
    info = recipient("rsa", lambda info: with_encrypted(info, FAULTS["no padding"]))
    data = enveloped_data([info], ENTITY, DEFAULT, lambda size: next(fixed))
    assert decrypt(data, [DecryptionKey(person("rsa").der, Watched())]).reason == CANNOT


def test_operations_of_the_private_key_are_bounded() -> None:
    key = Watched()
    infos = [prepare_recipient(person("rsa").der, DEFAULT)] * 500
    outcome = decrypt(enveloped_data(infos, ENTITY, DEFAULT, os.urandom), [DecryptionKey(person("rsa").der, key)])
    assert outcome.reason == CANNOT
    assert key.asked == MAX_ATTEMPTS


def test_every_key_is_tried() -> None:
    """A former certificate of ours with the same name for its key, and the right one behind it."""
    wrong = DecryptionKey(person("rsa").der, person("rsa", "stranger").key)
    other = DecryptionKey(person("p256").der, person("p256").key)
    outcome = decrypt(envelope("rsa"), [wrong, other, person("rsa").decryption_key])
    assert outcome.content == ENTITY
    assert decrypt(envelope("rsa"), [wrong, other]).reason == CANNOT
    assert decrypt(envelope("rsa"), [other]).reason == NOT_OURS
    assert decrypt(envelope("rsa"), []).reason == NOT_OURS


@pytest.mark.parametrize("kind", [*RECEIVING[1:], *QUANTUM_RECEIVING])
def test_a_changed_recipient_opens_nothing(kind: str) -> None:
    """Each octet of what is for us, behind its names: a changed point, ciphertext or wrapped key."""
    profile = QUANTUM if kind.startswith("ml-") else DEFAULT
    length = len(prepare_recipient(person(kind).der, profile).info(bytes(32)))
    for back in (1, 20, 39, 60):

        def change(info: bytes, back: int = back) -> bytes:
            return info[:-back] + bytes([info[-back] ^ 0x40]) + info[length - back + 1 :]

        data = enveloped_data([recipient(kind, change)], ENTITY, profile, os.urandom)
        try:
            outcome = decrypt(data, [person(kind).decryption_key])
        except SmimeError:
            continue
        assert outcome.content is None
        assert outcome.reason


@pytest.mark.parametrize("name", [name for name in CIPHERS if name.endswith("gcm")])
def test_nothing_is_released_without_its_tag(name: str) -> None:
    data = envelope("p256", with_words(DEFAULT, cipher=name))
    for place in (len(data) - 1, len(data) - 16, len(data) - 18 - len(ENTITY), len(data) - 19):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        outcome = decrypt(changed, [person("p256").decryption_key])
        assert (outcome.content, outcome.reason) == (None, CANNOT)


def test_a_cut_content_is_not_released() -> None:
    """EFAIL's cut: a shorter ciphertext with the tag of the whole."""
    cipher = CIPHERS["aes256-gcm"]
    key = bytes(range(32))
    algorithm, whole, tag = encrypt(cipher, key, ENTITY * 9, os.urandom)
    recipients = [prepare_recipient(person("p256").der, DEFAULT)]
    for kept in (0, 16, len(ENTITY)):
        inner = der.sequence(der.oid(names.DATA), algorithm, der.element(0x80, whole[:kept]))
        infos = der.set_of(each.info(key) for each in recipients)
        body = der.sequence(der.integer(0), infos, inner, der.octet_string(tag))
        data = der.sequence(der.oid(names.AUTH_ENVELOPED_DATA), der.explicit(0, body))
        assert decrypt(data, [person("p256").decryption_key]).content is None


def rebuilt(data: bytes, change: Callable[[list[bytes]], bytes], kind: str = names.AUTH_ENVELOPED_DATA) -> bytes:
    body = [part.raw for part in list(read(data).children())[1].parts(1)[0].children()]
    return der.sequence(der.oid(kind), der.explicit(0, change(body)))


def test_ciphers_stay_in_their_kind_of_envelope() -> None:
    """GCM without its tag as EnvelopedData, CBC with a tag as AuthEnvelopedData: no way down, no way up."""
    gcm, cbc = envelope("p256", PROFILES["authenticated"]), envelope("p256")
    down = rebuilt(gcm, lambda body: der.sequence(*body[:3]), names.ENVELOPED_DATA)
    up = rebuilt(cbc, lambda body: der.sequence(*body, der.octet_string(bytes(16))))
    for data in (down, up):
        with pytest.raises(SmimeError):
            decrypt(data, [person("p256").decryption_key])


@pytest.mark.parametrize("length", [0, 4, 8, 11, 17])
def test_short_tags_are_refused(length: int) -> None:
    """RFC 5084 §3.2: 12 to 16 octets, and as many as the parameters say."""
    data = rebuilt(
        envelope("p256", PROFILES["authenticated"]),
        lambda body: der.sequence(*body[:3], der.octet_string(bytes(length))),
    )
    with pytest.raises(SmimeError, match="tag"):
        decrypt(data, [person("p256").decryption_key])


@pytest.mark.parametrize(("said", "length", "opens"), [(b"", 16, True), (b"", 12, True), (der.integer(16), 12, False)])
def test_a_tag_may_be_longer_than_was_said(said: bytes, length: int, opens: bool) -> None:
    """Writers that leave the length out (12) and write 16 octets are read; a shorter one than was said is refused."""
    written, sealed, tag = encrypt(CIPHERS["aes256-gcm"], bytes(32), ENTITY, lambda size: bytes(size))
    algorithm = der.algorithm(CIPHERS["aes256-gcm"].oid, der.sequence(der.octet_string(bytes(12)), said))
    assert (algorithm == written) is bool(said)
    infos = der.set_of([prepare_recipient(person("p256").der, DEFAULT).info(bytes(32))])
    inner = der.sequence(der.oid(names.DATA), algorithm, der.element(0x80, sealed))
    for mac in (tag[:length], bytes(length)):
        body = der.sequence(der.integer(0), infos, inner, der.octet_string(mac))
        data = der.sequence(der.oid(names.AUTH_ENVELOPED_DATA), der.explicit(0, body))
        if opens:
            outcome = decrypt(data, [person("p256").decryption_key])
            assert outcome.content == (ENTITY if mac == tag[:length] else None)
        else:
            with pytest.raises(SmimeError, match="tag"):
                decrypt(data, [person("p256").decryption_key])


def test_authenticated_attributes_count() -> None:
    """RFC 5083 §2.2: they are authenticated as a SET OF."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key, nonce = bytes(range(32)), bytes(range(12))
    attribute = der.sequence(der.oid(names.CONTENT_TYPE), der.set_of([der.oid(names.DATA)]))
    sealed = AESGCM(key).encrypt(nonce, ENTITY, der.set_of([attribute]))
    algorithm = der.sequence(der.oid(CIPHERS["aes256-gcm"].oid), der.sequence(der.octet_string(nonce), der.integer(16)))
    inner = der.sequence(der.oid(names.DATA), algorithm, der.element(0x80, sealed[:-16]))
    infos = der.set_of([prepare_recipient(person("p256").der, DEFAULT).info(key)])
    for attributes, content in ((der.explicit(1, attribute), ENTITY), (b"", None)):
        body = der.sequence(der.integer(0), infos, inner, attributes, der.octet_string(sealed[-16:]))
        data = der.sequence(der.oid(names.AUTH_ENVELOPED_DATA), der.explicit(0, body))
        assert decrypt(data, [person("p256").decryption_key]).content == content


def test_a_derived_content_key_is_read() -> None:
    """RFC 9709, with HKDF written out by hand: extract with the salt, expand once."""
    import hmac

    key = bytes(range(32))
    algorithm = der.sequence(
        der.oid(CIPHERS["aes256-gcm"].oid), der.sequence(der.octet_string(bytes(12)), der.integer(16))
    )
    extracted = hmac.digest(b"The Cryptographic Message Syntax", key, "sha256")
    derived = hmac.digest(extracted, algorithm + b"\x01", "sha256")
    written, sealed, tag = encrypt(CIPHERS["aes256-gcm"], derived, ENTITY, lambda size: bytes(size))
    assert written == algorithm
    outer = der.algorithm("1.2.840.113549.1.9.16.3.31", algorithm)
    inner = der.sequence(der.oid(names.DATA), outer, der.element(0x80, sealed))
    infos = der.set_of([prepare_recipient(person("p256").der, DEFAULT).info(key)])
    body = der.sequence(der.integer(0), infos, inner, der.octet_string(tag))
    data = der.sequence(der.oid(names.AUTH_ENVELOPED_DATA), der.explicit(0, body))
    outcome = decrypt(data, [person("p256").decryption_key])
    assert (outcome.content, outcome.cipher) == (ENTITY, "aes256-gcm")
    inner = der.sequence(
        der.oid(names.DATA), der.algorithm("1.2.840.113549.1.9.16.3.31", outer), der.element(0x80, sealed)
    )
    body = der.sequence(der.integer(0), infos, inner, der.octet_string(tag))
    with pytest.raises(SmimeError, match="inside of itself"):
        decrypt(der.sequence(der.oid(names.AUTH_ENVELOPED_DATA), der.explicit(0, body)), [])


@pytest.mark.parametrize("oid", ["1.2.840.113549.3.2", "1.3.14.3.2.7", "1.2.3.4"])
def test_weak_and_unknown_ciphers_are_refused(oid: str) -> None:
    algorithm = der.algorithm(oid, der.octet_string(bytes(8)))

    def change(body: list[bytes]) -> bytes:
        inner = der.sequence(der.oid(names.DATA), algorithm, der.element(0x80, bytes(16)))
        return der.sequence(body[0], body[1], inner)

    with pytest.raises(SmimeError, match=r"too weak|not known"):
        decrypt(rebuilt(envelope("p256"), change, names.ENVELOPED_DATA), [])


def test_contents_in_pieces_are_read() -> None:
    """BER: the content as a constructed [0] of indefinite length, and everything around it, too."""

    def indefinite(element: Element) -> bytes:
        if not element.tag & 0x20:
            return element.raw
        return bytes([element.tag, 0x80]) + b"".join(map(indefinite, element.children())) + b"\0\0"

    def change(body: list[bytes]) -> bytes:
        kind, algorithm, content = read(body[2]).children()
        octets = bytes(content.body)
        pieces = [der.octet_string(octets[start : start + 7]) for start in range(0, len(octets), 7)]
        inner = der.sequence(kind.raw, algorithm.raw, der.element(0xA0, *pieces))
        return der.sequence(*body[:2], inner, *body[3:])

    for profile, kind in ((DEFAULT, names.ENVELOPED_DATA), (PROFILES["authenticated"], names.AUTH_ENVELOPED_DATA)):
        data = indefinite(read(rebuilt(envelope("rsa", profile), change, kind)))
        assert decrypt(data, [person("rsa").decryption_key]).content == ENTITY


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 4096])
@pytest.mark.parametrize("name", [name for name in CIPHERS if name.startswith("aes")])
def test_contents_of_every_length_fit(name: str, size: int) -> None:
    content = os.urandom(size)
    data = envelope("p256", with_words(DEFAULT, cipher=name), content)
    assert decrypt(data, [person("p256").decryption_key]).content == content


def test_equal_blocks_leave_no_trace() -> None:
    """A megabyte of one and the same block: no block of the ciphertext comes twice, nor in a second envelope."""
    content = b"0123456789abcdef" * 65_536
    for cipher in ("aes128-cbc", "aes256-cbc", "aes128-gcm", "aes256-gcm"):
        seen: set[bytes] = set()
        for _ in range(2):
            key = os.urandom(CIPHERS[cipher].key_size)
            _, sealed, _ = encrypt(CIPHERS[cipher], key, content, os.urandom)
            blocks = [sealed[start : start + 16] for start in range(0, len(sealed), 16)]
            assert len(set(blocks)) == len(blocks)
            assert seen.isdisjoint(blocks)
            seen.update(blocks)


def test_two_envelopes_of_one_message_share_no_block() -> None:
    """The whole path: content key, vector and what is for the recipient are fresh each time."""
    recipients = [prepare_recipient(person(kind).der, DEFAULT) for kind in ("rsa", "p256")]
    drawn: list[bytes] = []

    def random(size: int) -> bytes:
        drawn.append(os.urandom(size))
        return drawn[-1]

    first, second = (enveloped_data(recipients, ENTITY, DEFAULT, random) for _ in range(2))
    assert len(drawn) == 4
    tail = len(ENTITY)
    windows = {first[place : place + 16] for place in range(len(first) - tail, len(first) - 16)}
    assert windows.isdisjoint(second[place : place + 16] for place in range(len(second) - 16))


@pytest.mark.parametrize(
    ("kind", "uses"),
    [("rsa", "digital_signature"), ("p256", "digital_signature"), ("x25519", "digital_signature")],
)
def test_a_certificate_for_signing_receives_nothing(kind: str, uses: str) -> None:
    with pytest.raises(SmimeError, match="key usage"):
        prepare_recipient(issue(person(kind).key, "sig@contoso.example", uses).der, DEFAULT)


@pytest.mark.parametrize("kind", ["rsa-1024", "ed25519", "ml-dsa-65"])
def test_keys_that_cannot_receive_say_so(kind: str) -> None:
    with pytest.raises(SmimeError):
        prepare_recipient(person(kind).der, DEFAULT)


def test_without_an_extension_the_key_is_named_by_its_digest() -> None:
    """RFC 5280 §4.2.1.2 (1), which is what others compute as well."""
    from cryptography import x509

    plain = issue(person("p256").key, "plain@contoso.example", key_identifier=False)
    assert party(plain.der).key_identifier == x509.SubjectKeyIdentifier.from_public_key(plain.key.public_key()).digest
    profile = with_words(DEFAULT, recipient_identifier="ski")
    data = enveloped_data([prepare_recipient(plain.der, profile)], ENTITY, profile, os.urandom)
    assert decrypt(data, [plain.decryption_key]).content == ENTITY


def test_a_key_bound_to_oaep_is_used_with_nothing_else() -> None:
    """RFC 4055 §4: `by-certificate` is what the certificate says."""
    plain = der.algorithm(names.RSA, der.NULL)
    bound = with_key_algorithm(person("rsa").der, plain, der.algorithm(names.OAEP))
    assert prepare_recipient(person("rsa").der, DEFAULT).transport == "rsa-pkcs1"
    assert prepare_recipient(bound, DEFAULT).transport == "rsaes-oaep-sha256"
    data = enveloped_data([prepare_recipient(bound, DEFAULT)], ENTITY, DEFAULT, os.urandom)
    assert decrypt(data, [DecryptionKey(bound, person("rsa").key)]).content == ENTITY
    with pytest.raises(SmimeError, match="OAEP only"):
        prepare_recipient(bound, with_words(DEFAULT, key_transport="pkcs1"))


def test_a_key_bound_to_signing_or_encryption_does_nothing_else() -> None:
    plain = der.algorithm(names.RSA, der.NULL)
    signing = with_key_algorithm(person("rsa").der, plain, der.algorithm(names.RSA_PSS))
    with pytest.raises(SmimeError, match="signing only"):
        prepare_recipient(signing, DEFAULT)
    encryption = with_key_algorithm(person("rsa").der, plain, der.algorithm(names.OAEP))
    with pytest.raises(SmimeError, match="encryption only"):
        prepare_signer(SigningIdentity(encryption, (), person("rsa").key), DEFAULT)
    (outcome,) = verify_signed_data(Forgery(certificates=[encryption]).der(), None).signers
    assert outcome.status is SignatureStatus.MALFORMED


def test_a_certificate_of_ours_that_cannot_be_read_is_in_nobodys_way() -> None:
    keys = [DecryptionKey(b"junk", None), person("rsa").decryption_key]
    assert decrypt(envelope("rsa"), keys).content == ENTITY


def test_weak_curves_receive_nothing() -> None:
    weak = issue(ec.generate_private_key(ec.SECP192R1()), "weak@contoso.example")
    with pytest.raises(SmimeError, match="too weak"):
        prepare_recipient(weak.der, DEFAULT)
    with pytest.raises(SmimeError, match="too weak"):
        prepare_signer(weak.identity, DEFAULT)


def test_nobody_receives_nothing() -> None:
    with pytest.raises(SmimeError, match="nobody"):
        enveloped_data([], ENTITY, DEFAULT, os.urandom)


def test_the_versions_are_those_of_the_standard() -> None:
    """RFC 5652 §6.1: 0 with RSA by issuer alone, 2 by key identifier or agreement, 3 with others; RFC 5083: 0."""
    by_key = with_words(DEFAULT, recipient_identifier="ski")
    quantum_cbc = with_words(QUANTUM, cipher="aes256-cbc")
    for kind, profile, version in (
        ("rsa", DEFAULT, 0),
        ("rsa", by_key, 2),
        ("p256", DEFAULT, 2),
        ("ml-kem-768", quantum_cbc, 3),
        ("ml-kem-768", QUANTUM, 0),
    ):
        body = list(read(envelope(kind, profile)).children())[1].parts(1)[0]
        assert next(body.children()).integer() == version, (kind, profile)


def test_a_certificate_beyond_measure_is_not_read() -> None:
    with pytest.raises(SmimeError, match="64 KiB"):
        party(person("p256").der + bytes(65_536))
