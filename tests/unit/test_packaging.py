"""What is given away: manual pages, completion, units of systemd and containers say what the program is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mta.cli.main import app
from mta.cli.man import compose
from tests.support.patience import patient

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
PAGES = dict(compose(app))


def test_every_command_has_a_page_and_the_first_lists_it() -> None:
    assert {f"mta-{name}" for name in ("check", "serve", "init", "trace", "explain", "queue", "keys")} <= set(PAGES)
    listed = PAGES["mta"].replace("\\-", "-")
    assert all(f".BR {name} (1)" in listed for name in PAGES if name != "mta")
    assert "mta\\-worker" not in PAGES["mta"]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_no_line_of_a_page_is_an_instruction_by_accident(name: str) -> None:
    """man(7): a line that begins with a dot is one; these are all that we write."""
    known = {".TH", ".SH", ".SS", ".TP", ".B", ".BR", ".I"}
    assert {line.split()[0] for line in PAGES[name].splitlines() if line[:1] in (".", "'")} <= known
    assert PAGES[name].startswith(f'.TH {name.upper()} 1 "" "mta ')


def test_a_shell_is_told_what_may_follow() -> None:
    environment = {**os.environ, "_MTA_COMPLETE": "complete_bash", "COMP_WORDS": "mta queue li", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['mta']; from mta.cli.main import main; main()"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    assert done.stdout.split() == ["list"]


@pytest.mark.parametrize("unit", ["mta.service", "mta.socket"])
def test_the_units_are_those_of_the_manual(unit: str) -> None:
    manual = (ROOT / "docs/operations.md").read_text()
    told = re.search(rf"# /etc/systemd/system/{unit}\n(.*?)```", manual, re.DOTALL)
    assert told is not None
    lines = (PACKAGING / "systemd" / unit).read_text().splitlines()
    assert set(told[1].split("\n")) <= {*lines, ""}


def test_what_the_container_copies_is_there_and_the_queue_outlives_it() -> None:
    text = (PACKAGING / "Dockerfile").read_text()
    copied = [words for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE) for words in line.split()[:-1]]
    assert copied
    assert all((ROOT / name).exists() for name in copied)
    compose_file = yaml.safe_load((PACKAGING / "compose.yaml").read_text())
    relay = compose_file["services"]["relay"]
    assert (ROOT / "packaging" / relay["build"]["context"] / relay["build"]["dockerfile"]).is_file()
    assert "VOLUME /var/lib/mta" in text
    assert "queue:/var/lib/mta" in relay["volumes"]
