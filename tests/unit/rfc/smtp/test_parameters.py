"""The parameters of MAIL FROM and RCPT TO."""

import pytest

from mta.rfc.smtp.parameters import (
    MailParameters,
    ParameterError,
    RcptParameters,
    parse_mail_parameters,
    parse_rcpt_parameters,
)

ALL = {"SIZE", "8BITMIME", "SMTPUTF8", "DSN", "REQUIRETLS"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", MailParameters()),
        ("  ", MailParameters()),
        (" SIZE=0", MailParameters(size=0)),
        (" size=12345 ", MailParameters(size=12345)),
        (" SIZE=" + "9" * 20, MailParameters(size=int("9" * 20))),
        (" BODY=8bitmime", MailParameters(body="8BITMIME")),
        (" BODY=7BIT", MailParameters(body="7BIT")),
        (" SMTPUTF8", MailParameters(smtputf8=True)),
        (" RET=hdrs ENVID=QQ+2B314159", MailParameters(ret="HDRS", envid="QQ+2B314159")),
        (" ENVID=aBc", MailParameters(envid="aBc")),
        (" requireTLS", MailParameters(requiretls=True)),
        (" ENVID=" + "x" * 100, MailParameters(envid="x" * 100)),
        (
            " SIZE=1 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=e",
            MailParameters(1, "8BITMIME", True, "FULL", "e"),
        ),
    ],
)
def test_mail_parameters_are_read(text: str, expected: MailParameters) -> None:
    assert parse_mail_parameters(text, ALL) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", RcptParameters()),
        (" NOTIFY=never", RcptParameters(("NEVER",))),
        (" NOTIFY=SUCCESS,Delay", RcptParameters(("SUCCESS", "DELAY"))),
        (" NOTIFY=FAILURE,FAILURE", RcptParameters(("FAILURE",))),
        (" ORCPT=rfc822;Bob@Fabrikam.example", RcptParameters((), "rfc822;Bob@Fabrikam.example")),
        (" ORCPT=RFC822;bob+2Btag@x", RcptParameters((), "RFC822;bob+2Btag@x")),
        (" ORCPT=rfc822;" + "x" * 493, RcptParameters((), "rfc822;" + "x" * 493)),
        (" ORCPT=utf-8;j\u00fcrgen@x", RcptParameters((), "utf-8;j\u00fcrgen@x")),
        (" ORCPT=utf-8;j+5Cx{FC}rgen@x", RcptParameters((), "utf-8;j+5Cx{FC}rgen@x")),
    ],
)
def test_rcpt_parameters_are_read(text: str, expected: RcptParameters) -> None:
    assert parse_rcpt_parameters(text, ALL) == expected


@pytest.mark.parametrize(
    "text",
    [
        "SIZE=1",  # no space behind the path
        " SIZE",
        " SIZE=",
        " SIZE=-1",
        " SIZE=1x",
        " SIZE=\u0661",  # a digit, but not ASCII
        " SIZE=" + "9" * 21,
        " SIZE=1 SIZE=1",
        " size=1 SIZE=2",
        " BODY",
        " BODY=BINARYMIME",
        " SMTPUTF8=yes",
        " RET=BOTH",
        " ENVID=",
        " ENVID",
        " ENVID=" + "x" * 101,
        " ENVID=a+0Ab",
        " ENVID=a+0db",
        " ENVID=a+00",
        " ENVID=a+7F",
        " ENVID=a+C3+BC",
        " ENVID=a+FF",
        " ENVID=a+b",
        " ENVID=a+4",
        " ENVID=\u00fc",
        " =x",
        " -x",
        " a=b=c",
        " x\ty",
        " ENVID=\ud800",
    ],
)
def test_malformed_mail_parameters_get_501(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_mail_parameters(text, ALL)
    assert (caught.value.code, caught.value.enhanced) == (501, "5.5.4")


@pytest.mark.parametrize(
    "text",
    [
        " NOTIFY",
        " NOTIFY=",
        " NOTIFY=NEVER,SUCCESS",
        " NOTIFY=SOMETIMES",
        " NOTIFY=SUCCESS,",
        " ORCPT=",
        " ORCPT=rfc822",
        " ORCPT=rfc822;",
        " ORCPT=;bob@x",
        " ORCPT=rfc(822;bob@x",
        " ORCPT=rfc822;" + "x" * 494,
        " ORCPT=rfc822;bob+0D+0AX-Spoof:+20yes",
        " ORCPT=rfc822;bob+00",
        " ORCPT=rfc822;bob+E2+80+A8",
        " ORCPT=rfc822;bob+",
        " ORCPT=rfc822;\u00fc",
        " ORCPT=utf-8;a\u0085b",
        " ORCPT=utf-8;a+5Cx{A}b",
        " ORCPT=utf-8;a+5Cx{110000}b",
        " ORCPT=rfc822;a ORCPT=rfc822;a",
    ],
)
def test_malformed_rcpt_parameters_get_501(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_rcpt_parameters(text, ALL)
    assert (caught.value.code, caught.value.enhanced) == (501, "5.5.4")


@pytest.mark.parametrize("text", [" XYZ", " XYZ=1", " AUTH=<>", " NOTIFY=NEVER", " DSN", " 8BITMIME"])
def test_unknown_mail_parameters_get_555(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_mail_parameters(text, ALL)
    assert (caught.value.code, caught.value.enhanced) == (555, "5.5.4")
    assert caught.value.reply.render().startswith(b"555 5.5.4 ")


@pytest.mark.parametrize(("text", "extension"), [(" SIZE=1", "SIZE"), (" BODY=7BIT", "8BITMIME"), (" RET=FULL", "DSN")])
def test_a_parameter_of_an_extension_we_did_not_offer_is_unknown(text: str, extension: str) -> None:
    parse_mail_parameters(text, {extension})
    with pytest.raises(ParameterError) as caught:
        parse_mail_parameters(text, ALL - {extension})
    assert caught.value.code == 555


def test_the_rcpt_parameters_of_dsn_are_unknown_without_dsn() -> None:
    with pytest.raises(ParameterError) as caught:
        parse_rcpt_parameters(" NOTIFY=NEVER", ALL - {"DSN"})
    assert caught.value.code == 555
