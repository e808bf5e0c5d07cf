"""`mta keys dkim` and `mta check --dns`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from typer.testing import CliRunner

from mta.app.load import load
from mta.cli.check import check
from mta.cli.keys import NewKey, new, show
from mta.cli.main import app
from mta.errors import ConfigurationError, UsageError
from mta.rfc.dkim.record import differences
from tests.support.dns_server import dns_server
from tests.support.fake_resolver import TEMPORARY, FakeResolver

SERVER = "server: {hostname: mx.contoso.example}\n"
DOMAIN = "domains:\n  Contoso.example:\n    deliver_to: [m.example]\n    dkim:\n"
NAME = "s1._domainkey.contoso.example"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "connectors.yaml"
    path.write_text(SERVER)
    return path


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> FakeResolver:
    fake = FakeResolver()
    monkeypatch.setattr("mta.cli.keys.resolver", lambda configuration: fake)
    return fake


def made(
    config: Path, capsys: pytest.CaptureFixture[str], selector: str = "s1", kind: str = "ed25519"
) -> dict[str, str]:
    """The document of a new key."""
    assert new(NewKey("contoso.example", selector, kind, config=str(config)), True) == 0
    document: dict[str, str] = json.loads(capsys.readouterr().out)
    return document


def use(config: Path, *entries: str) -> None:
    config.write_text(SERVER + DOMAIN + "".join(f"      {entry}\n" for entry in entries))


def run(config: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = check(str(config), False, True)
    return code, capsys.readouterr().err.replace(f"{config}:", "")


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_new_key_is_private_and_its_record_is_that_of_the_key(
    config: Path, capsys: pytest.CaptureFixture[str], kind: str
):
    document = made(config, capsys, kind=kind)
    file = config.parent / "certs" / "dkim" / "contoso.example-s1.key"
    assert document["key"] == str(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    key = load_pem_private_key(file.read_bytes(), None)
    assert differences(document["record"].encode(), key.public_key()) == ()  # type: ignore[arg-type]
    assert (document["name"], document["algorithm"]) == (NAME, f"{kind}-sha256")
    assert "".join(document["strings"]) == document["record"]
    assert max(map(len, document["strings"])) <= 255


def test_the_printed_line_makes_the_key_part_of_the_configuration(config: Path, capsys: pytest.CaptureFixture[str]):
    use(config, made(config, capsys)["entry"], made(config, capsys, "20261101", "rsa")["entry"])
    keys = load(str(config)).domains["contoso.example"].dkim
    assert [(key.selector, key.algorithm) for key in keys] == [("s1", "ed25519-sha256"), ("20261101", "rsa-sha256")]


def test_people_get_a_zone_file_and_yaml(config: Path, capsys: pytest.CaptureFixture[str]):
    assert new(NewKey("Contoso.example", "S1", config=str(config)), False) == 0
    out = capsys.readouterr().out
    assert f"{NAME}. IN TXT (\n" in out
    written = re.findall(r'^    "([^"]+)"', out, re.MULTILINE)
    assert len(written) == 2
    assert written[0].startswith("v=DKIM1; k=rsa; p=")
    assert '  contoso.example:\n    dkim:\n      - {selector: "s1", key: "certs/dkim/contoso.example-s1.key"}' in out


def test_the_size_of_an_rsa_key_can_be_chosen(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "k"
    assert new(NewKey("contoso.example", "s1", bits=1024, out=str(file), config=str(config)), True) == 0
    captured = capsys.readouterr()
    key = load_pem_private_key(file.read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    assert key.key_size == 1024
    assert captured.err == "mta: an RSA key of 1024 bits is short: 2048 are usual today\n"


def test_a_file_elsewhere_is_named_in_full(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    beside = tmp_path / "etc"
    file = tmp_path / "k"
    assert new(NewKey("contoso.example", "s1", "ed25519", out=str(file), config=str(beside / "c.yaml")), True) == 0
    assert json.loads(capsys.readouterr().out)["entry"] == f'- {{selector: "s1", key: "{file}"}}'


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_nothing_is_ever_overwritten(config: Path, tmp_path: Path, kind: str):
    target, elsewhere = tmp_path / "k", tmp_path / "elsewhere"
    {
        "file": lambda: target.write_text("precious"),
        "folder": target.mkdir,
        "link": lambda: target.symlink_to(elsewhere),
    }[kind]()
    with pytest.raises(UsageError, match="is there already"):
        new(NewKey("contoso.example", "s1", "ed25519", out=str(target), config=str(config)), False)
    assert not elsewhere.exists()
    assert kind != "file" or target.read_text() == "precious"


def test_a_file_that_came_meanwhile_is_not_overwritten(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target = tmp_path / "k"
    target.write_text("precious")
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    with pytest.raises(UsageError, match="cannot be written: File exists"):
        new(NewKey("contoso.example", "s1", "ed25519", out=str(target), config=str(config)), False)
    assert target.read_text() == "precious"


@pytest.mark.parametrize(
    ("domain", "selector", "message"),
    [
        ("a b", "s1", "is not a domain name"),
        ("contoso.example", "s 1", "is not a selector"),
        (".".join(["d" * 63] * 3), "s" * 60, "is longer than a domain name can be"),
    ],
)
def test_names_that_cannot_be_are_refused(config: Path, domain: str, selector: str, message: str):
    with pytest.raises(UsageError, match=message):
        new(NewKey(domain, selector, "ed25519", config=str(config)), False)
    assert not (config.parent / "certs").exists()


def test_odd_paths_are_refused(config: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    for odd in (f"{tmp_path}/file/k", f"{tmp_path}/a\0b", "/proc/none/k"):
        with pytest.raises(UsageError, match="cannot be written"):
            new(NewKey("contoso.example", "s1", "ed25519", out=odd, config=str(config)), False)


def test_show_prints_what_new_printed(config: Path, capsys: pytest.CaptureFixture[str]):
    first, second = made(config, capsys), made(config, capsys, "s2")
    use(config, first["entry"], second["entry"].replace("}", ", from: 2999-01-01}"))
    assert show(str(config), True) == 0
    records = json.loads(capsys.readouterr().out)["records"]
    assert [one["record"] for one in records] == [first["record"], second["record"]]
    assert [one["signs"] for one in records] == [True, False]
    assert show(str(config), False) == 0
    assert capsys.readouterr().out.count(" IN TXT (\n") == 2


def test_show_without_keys_says_how_to_make_one(config: Path, capsys: pytest.CaptureFixture[str]):
    assert show(str(config), False) == 1
    assert "mta keys dkim new" in capsys.readouterr().out
    config.write_text("server: {}")
    with pytest.raises(ConfigurationError):
        show(str(config), False)


def test_check_is_content_with_a_published_key(config: Path, names: FakeResolver, capsys: pytest.CaptureFixture[str]):
    document = made(config, capsys)
    use(config, document["entry"])
    names.set(NAME, "TXT", [document["record"]])
    assert run(config, capsys) == (0, "")
    assert names.queries == {(NAME, "TXT"): 1}


def test_check_tells_a_missing_record_at_its_entry(
    config: Path, names: FakeResolver, capsys: pytest.CaptureFixture[str]
):
    use(config, made(config, capsys)["entry"])
    message = f"there is no TXT record at {NAME} (`mta keys dkim show` prints the record)"
    assert run(config, capsys) == (1, f"6:9: domains.Contoso.example.dkim[0]: {message}\n")
    assert check(str(config), True, True) == 1
    document = json.loads(capsys.readouterr().out)
    assert not document["ok"]
    assert [one["path"] for one in document["problems"]] == ["domains.Contoso.example.dkim[0]"]


def test_check_tells_the_record_of_another_key(config: Path, names: FakeResolver, capsys: pytest.CaptureFixture[str]):
    first, second = made(config, capsys), made(config, capsys, "s2")
    use(config, first["entry"], second["entry"])
    names.set(NAME, "TXT", [second["record"]])
    names.set(NAME.replace("s1", "s2"), "TXT", [second["record"]])
    code, err = run(config, capsys)
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("6:9: domains.Contoso.example.dkim[0]: ")
    assert "it publishes another key than ours" in line


def test_check_only_warns_of_what_is_still_to_come_or_unknown(
    config: Path, names: FakeResolver, capsys: pytest.CaptureFixture[str]
):
    first, second = made(config, capsys), made(config, capsys, "s2")
    use(config, first["entry"], second["entry"].replace("}", ", from: 2999-01-01}"))
    names.set(NAME, "TXT", TEMPORARY)
    code, err = run(config, capsys)
    assert code == 0
    assert [line.partition("dkim")[2][:24] for line in err.splitlines()] == [
        "[0]: s1._domainkey.conto",
        "[1]: there is no TXT rec",
    ]
    assert all(line.startswith("warning: ") for line in err.splitlines())


def test_check_asks_nothing_of_keys_that_have_ended_and_nothing_without_being_told(
    config: Path, names: FakeResolver, capsys: pytest.CaptureFixture[str]
):
    entry = made(config, capsys)["entry"]
    use(config, entry.replace("}", ", until: 2020-01-01}"))
    assert run(config, capsys)[0] == 0
    use(config, entry)
    assert check(str(config), False) == 0
    assert names.asked == 0


def test_check_asks_the_configured_name_servers(config: Path, capsys: pytest.CaptureFixture[str]):
    document = made(config, capsys, kind="rsa")
    record = " ".join(f'"{part}"' for part in document["strings"])
    with dns_server({(NAME, "TXT"): [record]}) as (host, port):
        use(config, document["entry"])
        servers = f'{{hostname: mx.contoso.example, dns: {{nameservers: ["{host}:{port}"]}}}}'
        config.write_text(config.read_text().replace("{hostname: mx.contoso.example}", servers))
        assert run(config, capsys) == (0, "")


def test_check_asks_nothing_of_a_configuration_with_problems(config: Path, names: FakeResolver):
    config.write_text("server: {}")
    assert check(str(config), False, True) == 2
    assert names.asked == 0


def test_the_commands_are_wired(config: Path, names: FakeResolver):
    runner, options = CliRunner(), ["--config", str(config)]
    made = runner.invoke(app, ["keys", "dkim", "new", "contoso.example", "s1", "--type", "ed25519", *options, "--json"])
    assert made.exit_code == 0, made.output
    use(config, json.loads(made.stdout)["entry"])
    shown = runner.invoke(app, ["keys", "dkim", "show", *options])
    assert (shown.exit_code, shown.stdout.count(NAME)) == (0, 1)
    assert runner.invoke(app, ["check", *options]).exit_code == 0
    assert runner.invoke(app, ["check", "--dns", *options]).exit_code == 1
    for wrong in (["--type", "dsa"], ["--bits", "512"], ["--bits", "9000"]):
        assert runner.invoke(app, ["keys", "dkim", "new", "contoso.example", "s2", *wrong, *options]).exit_code == 2
