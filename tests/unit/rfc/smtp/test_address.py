"""The paths of MAIL FROM and RCPT TO."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.model.address import Mailbox
from mta.rfc.smtp import address
from mta.rfc.smtp.address import AddressError, parse_mailbox, parse_path


def path(text: str) -> tuple[Mailbox | None, str]:
    return parse_path(text, smtputf8=True, null_ok=True, postmaster_ok=True)


def domain_of(length: int) -> str:
    """A domain of so many octets, in labels of at most 63."""
    labels = ["d" * 63] * (length // 64)
    rest = length - 64 * len(labels)
    return ".".join([*labels, "e" * rest]) if rest else ".".join([*labels[:-1], "d" * 62, "e"])[:length]


@pytest.mark.parametrize(
    ("text", "local", "domain", "compared"),
    [
        ("<ann@contoso.example>", "ann", "contoso.example", "contoso.example"),
        ("<Ann.Lee@Contoso.EXAMPLE>", "Ann.Lee", "Contoso.EXAMPLE", "contoso.example"),
        ("<!#$%&'*+/=?^_`{|}~-@x>", "!#$%&'*+/=?^_`{|}~-", "x", "x"),
        ("<a@my_host.example>", "a", "my_host.example", "my_host.example"),
        ("<a@b.example1>", "a", "b.example1", "b.example1"),
        ('<"a b>@\\""@x.y>', '"a b>@\\""', "x.y", "x.y"),
        ('<""@x.y>', '""', "x.y", "x.y"),
        ("<a@[192.0.2.1]>", "a", "[192.0.2.1]", "[192.0.2.1]"),
        ("<a@[IPv6:2001:DB8:0::1]>", "a", "[IPv6:2001:DB8:0::1]", "[ipv6:2001:db8::1]"),
        ("<jürgen@Bücher.example>", "jürgen", "Bücher.example", "xn--bcher-kva.example"),
        ("<a@faß.example>", "a", "faß.example", "xn--fa-hia.example"),
        ("<=?utf-8?q?foo?=@y.z>", "=?utf-8?q?foo?=", "y.z", "y.z"),
        ("<@one,@[192.0.2.1],@two.example:ann@contoso.example>", "ann", "contoso.example", "contoso.example"),
    ],
)
def test_a_path_is_taken_apart_as_it_travelled(text: str, local: str, domain: str, compared: str) -> None:
    assert path(text + " SIZE=1") == (Mailbox(local, domain, compared), " SIZE=1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<",
        "<a@b",
        "a@b",
        "<a>",
        "<a@>",
        "<@b>",
        "<a b@c>",
        "< a@b>",
        "<a@b >",
        "<a@b@c>",
        "<.a@b>",
        "<a.@b>",
        "<a..b@c>",
        "<a@b.>",
        "<a@.b>",
        "<a@b..c>",
        "<a@-b>",
        "<a@b->",
        "<a@b.-c.d>",
        "<a@1.2.3.4>",
        "<a@12345>",
        "<a@[1.2.3]>",
        "<a@[1.2.3.256]>",
        "<a@[01.2.3.4]>",
        "<a@[::1]>",
        "<a@[IPv6:::g]>",
        "<a@[IPv6:fe80::1%eth0]>",
        "<a@[x400:anything]>",
        "<a@b\0>",
        "<a\0@b>",
        "<a\r\n@b>",
        "<a@b\n>",
        "<a@b\r\n.c>",
        '<"a\r"@b>',
        '<"a\n"@b>',
        '<"a\tb"@c>',
        '<"a@b>',
        '<"a"b@c>',
        '<a"b"@c>',
        "<a(comment)@b>",
        "<Ann <a@b>>",
        "<a\x7f@b>",
        "<a\x80@b>",
        "<a\u2028@b>",
        "<a\u00a0@b>",
        "<\ud800@b>",
        "<a@\ud800>",
        "<a@\u3002b>",
        "<a@b\u3002>",
        "<a@xn--\u00fc>",
        "<@one@two:a@b>",
        "<@one,two:a@b>",
        "<@:a@b>",
        "<@-x:a@b>",
    ],
)
def test_what_is_no_path_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(AddressError, match=r"\w+"):
        path(text)


def test_the_null_path_is_taken_only_where_it_may_stand() -> None:
    assert parse_path("<> RET=HDRS", smtputf8=False, null_ok=True) == (None, " RET=HDRS")
    with pytest.raises(AddressError, match="null"):
        parse_path("<>", smtputf8=False, null_ok=False)


def test_postmaster_needs_no_domain_where_it_is_asked_for() -> None:
    for spelling in ("postmaster", "PostMaster"):
        found = parse_path(f"<{spelling}>", smtputf8=False, null_ok=False, postmaster_ok=True)
        assert found == (Mailbox(spelling, "", ""), "")
        with pytest.raises(AddressError):
            parse_path(f"<{spelling}>", smtputf8=False, null_ok=False)
    with pytest.raises(AddressError):
        path("<root>")


@pytest.mark.parametrize("text", ["<ü@b.example>", "<a@bücher.example>", '<"ü"@b.example>'])
def test_letters_beyond_ascii_need_smtputf8(text: str) -> None:
    assert path(text)[0] is not None
    with pytest.raises(AddressError, match="SMTPUTF8"):
        parse_path(text, smtputf8=False, null_ok=True)


@pytest.mark.parametrize("letter", ["x", "ü"])
def test_a_local_part_may_exceed_64_octets_as_return_paths_of_lists_do(letter: str) -> None:
    fits = letter * (address.MAX_LOCAL // len(letter.encode()))
    assert path(f"<{fits}@b>")[0] is not None
    with pytest.raises(AddressError, match="250"):
        path(f"<{fits}{letter}@b>")


def test_a_label_holds_63_octets_and_no_more() -> None:
    assert path(f"<a@{'x' * 63}.example>")[0] is not None
    with pytest.raises(AddressError):
        path(f"<a@{'x' * 64}.example>")
    with pytest.raises(AddressError):
        path(f"<a@{'ü' * 64}.example>")


def test_a_path_holds_256_octets_with_its_brackets_and_no_more() -> None:
    longest = f"<a@{domain_of(252)}>"
    assert len(longest) == address.MAX_PATH
    assert path(longest)[0] is not None
    with pytest.raises(AddressError, match="256"):
        path(f"<aa@{domain_of(252)}>")


def test_a_domain_holds_255_octets_and_no_more() -> None:
    assert address.ascii_domain(domain_of(255)) == domain_of(255)
    with pytest.raises(AddressError, match="255"):
        address.ascii_domain(domain_of(256))


def test_a_mailbox_of_the_configuration_needs_no_brackets() -> None:
    assert parse_mailbox("Ann@Contoso.example") == Mailbox("Ann", "Contoso.example", "contoso.example")
    for text in ("", "ann", "<ann@b>", "@a:ann@b", "a@b> x", "a@b>", " a@b", "a@b,c@d", "a@b\n"):
        with pytest.raises(AddressError):
            parse_mailbox(text)


ATOMS = st.text("abcXYZ019_-!=?.", min_size=1, max_size=12)


@given(ATOMS, ATOMS, st.sampled_from(["", " SIZE=1", ">", "x"]))
def test_the_short_way_finds_what_the_long_way_finds(local: str, domain: str, rest: str) -> None:
    text = f"<{local}@{domain}>{rest}"

    def outcome(short: bool) -> object:
        try:
            return path(text) if short else address._parse_uncommon(text, True, True, True)
        except AddressError as problem:
            return str(problem)

    assert outcome(True) == outcome(False)
