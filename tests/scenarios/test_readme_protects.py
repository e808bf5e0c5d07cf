"""The README's lines that protect a file run as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.scenarios.test_protect_files import done

README = Path(__file__).parents[2] / "README.md"
BASE = "server: {hostname: mx.contoso.example}\ndomains: {contoso.example: {deliver_to: ['127.0.0.1:25']}}\n"


def test_the_lines_under_protect_a_file_run(tmp_path: Path):
    section = README.read_text().partition("## Protect a file\n")[2].partition("\n## ")[0]
    yaml = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert yaml is not None
    (tmp_path / "connectors.yaml").write_text(BASE + yaml[1])
    (tmp_path / "README.md").write_bytes(README.read_bytes())
    (tmp_path / "var").mkdir()
    lines = re.findall(r"^    mta (.*)$", section, re.MULTILINE)
    assert len(lines) == 5
    told = {line: done(tmp_path, *shlex.split(line)) for line in lines}
    opened = next(told[line] for line in lines if line.startswith("open"))
    assert opened == README.read_text()
    assert "good" in told["log verify"]
