"""`mta man`: manual pages out of the commands' own help, one for the whole and one for each command."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import typer
import typer.main

from mta import __version__
from mta.errors import UsageError

_ABOUT = "Mail relay"


def man(app: typer.Typer, folder: str) -> int:
    """Write mta.1 and mta-COMMAND.1 to `folder`, which is made. Raises UsageError if they cannot be written."""
    pages = dict(compose(app))
    try:
        os.makedirs(folder, exist_ok=True)
        for name, text in pages.items():
            with open(os.path.join(folder, f"{name}.1"), "w", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise UsageError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    print(f"{len(pages)} pages are in {folder}: man -l {os.path.join(folder, 'mta.1')}")
    return 0


def compose(app: typer.Typer) -> Iterator[tuple[str, str]]:
    """Each page's name and its text for man(7)."""
    top = typer.main.get_command(app)
    shown = _commands(top)
    about = f"{_heading('mta', str(top.help or ''))}.SH SYNOPSIS\n.B mta\n.I COMMAND\n[options]\n.SH COMMANDS\n"
    listed = "".join(f".TP\n.BR mta-{_safe(name)} (1)\n{_safe(_first(command))}\n" for name, command in shown.items())
    yield "mta", about + listed + _EXIT
    for name, command in shown.items():
        yield (
            f"mta-{name}",
            _heading(f"mta-{name}", _first(command)) + "".join(_section(f"mta {name}", command)) + _EXIT,
        )


def _section(words: str, command: Any) -> Iterator[str]:
    below = _commands(command)
    if not below:
        yield f".SH SYNOPSIS\n.B {_safe(words)}\n{_arguments(command)}[options]\n"
        yield f".SH DESCRIPTION\n{_safe(str(command.help or ''))}\n.SH OPTIONS\n{_options(command)}"
        return
    yield ".SH COMMANDS\n"
    for path, each in _leaves(words, command):
        yield f".SS {_safe(path)} {_arguments(each).strip()}\n{_safe(str(each.help or ''))}\n{_options(each)}"


def _leaves(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    below = _commands(command)
    if not below:
        yield words, command
    for name, each in below.items():
        yield from _leaves(f"{words} {name}", each)


def _commands(command: object) -> dict[str, object]:
    return {name: each for name, each in getattr(command, "commands", {}).items() if not each.hidden}


def _arguments(command: Any) -> str:
    return "".join(f"{_safe(str(each.name).upper())} " for each in command.params if not each.opts[0].startswith("-"))


def _options(command: Any) -> str:
    rows = []
    for each in command.params:
        if getattr(each, "hidden", False):
            continue
        spelled = ", ".join(each.opts) if each.opts[0].startswith("-") else str(each.name).upper()
        words = str(getattr(each, "help", None) or "")
        rows.append(f".TP\n.B {_safe(spelled)}\n{_safe(words)}\n")
    return "".join(rows)


def _heading(name: str, about: str) -> str:
    title = f'.TH {name.upper()} 1 "" "mta {__version__}" "{_ABOUT}"\n'
    return f"{title}.SH NAME\n{name} \\- {_safe(about.splitlines()[0].rstrip('.'))}\n"


def _first(command: Any) -> str:
    return str(command.help or "").split("\n\n")[0].replace("\n", " ")


def _safe(text: str) -> str:
    """Nothing of it is taken for an instruction (groff_char(7))."""
    words = re.sub(r"\s*\n\s*", " ", text).replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", words)


_EXIT = """\
.SH EXIT STATUS
0: good. 1: the answer is no, or something is broken. 2: wrong usage, or a configuration with problems.
"""
