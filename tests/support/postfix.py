"""A private Postfix in a folder of its own, for scenario tests: as a partner that sends, and as one that receives.

    with postfix({"relayhost": f"[127.0.0.1]:{relay.port}", "smtp_tls_security_level": "encrypt"}) as partner:
        partner.send("a@fabrikam.example", ["b@contoso.example"], b"Subject: x\\r\\n\\r\\nhello\\r\\n")
        partner.wait_for_log(r"status=sent .*250 2.0.0")
        partner.queue()                                   # what waits, as postqueue -j tells it

    with postfix({"smtpd_tls_security_level": "encrypt", ...}, domains=["fabrikam.example"]) as partner:
        ...                                               # deliver to 127.0.0.1:partner.port
        [message] = partner.wait_for_mail(1)

Everything that is for `domains` lands in one mailbox, whatever the recipient; nothing else is delivered locally.
Needs root, as Postfix does: mark such tests with `needs("postfix", root=True)`.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.patience import patient
from tests.support.running_mta import PATIENCE, free_port, until

DAEMONS = "/usr/lib/postfix/sbin"
SAMPLE = Path("/usr/share/postfix/master.cf.dist")
SERVICE = re.compile(r"^(\w\S* +(?:unix|fifo|pass|inet) +\S+ +\S+ +)[y-]( )", re.MULTILINE)
SMTPD = re.compile(r"^smtp +inet .*$", re.MULTILINE)


@dataclass(frozen=True)
class Postfix:
    """A running Postfix. It listens on 127.0.0.1:port, in clear or with STARTTLS as its settings say."""

    folder: Path
    port: int

    @property
    def conf(self) -> str:
        """Its configuration folder, for -c."""
        return str(self.folder / "conf")

    def log(self) -> str:
        """All that it has logged."""
        path = self.folder / "maillog"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def wait_for_log(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        """The first match of this expression in the log, lines taken one by one."""
        found: re.Match[str] = until(
            lambda: re.search(pattern, self.log()), seconds, describe=f"{pattern} in Postfix's log"
        )
        return found

    def queue(self) -> list[dict[str, Any]]:
        """What waits, as `postqueue -j` says: queue_name, queue_id, sender, recipients with address, delay_reason."""
        done = self._run("postqueue", "-j")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def flush(self) -> None:
        """Try everything that waits now."""
        self._run("postqueue", "-f")

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Change these settings of main.cf and have them taken over."""
        self._run("postconf", *(f"{key} = {value}" for key, value in settings.items()))
        self._run("postfix", "reload")

    def send(
        self, sender: str, recipients: Sequence[str], data: bytes, mail: Sequence[str] = (), rcpt: Sequence[str] = ()
    ) -> None:
        """Hand it a message by SMTP, with these parameters (such as `SMTPUTF8`) of MAIL and RCPT."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE) as client:
            if "SMTPUTF8" in mail:
                client.ehlo()
                client.command_encoding = "utf-8"
            refused = client.sendmail(sender, recipients, data, mail, rcpt)
            assert refused == {}

    def mail(self) -> list[bytes]:
        """The messages in its mailbox, oldest first; Return-Path, X-Original-To and Delivered-To are in front."""
        files = sorted((self.folder / "mail" / "inbox" / "new").glob("*"), key=lambda path: path.stat().st_mtime_ns)
        return [path.read_bytes() for path in files]

    def wait_for_mail(self, count: int, seconds: float = PATIENCE) -> list[bytes]:
        """The messages in its mailbox, once there are `count`."""
        until(lambda: len(self.mail()) >= count, seconds, describe=f"{count} messages; Postfix says:\n{self.log()}")
        return self.mail()

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        program, *rest = words
        command = [f"/usr/sbin/{program}", "-c", self.conf, *rest]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=patient(60))


@contextlib.contextmanager
def postfix(settings: Mapping[str, Any] | None = None, *, domains: Sequence[str] = ()) -> Iterator[Postfix]:
    """Start Postfix with these settings of main.cf over its defaults; `domains` go to its mailbox."""
    folder = Path(tempfile.mkdtemp(prefix="mta-postfix-"))
    partner = Postfix(folder, free_port())
    try:
        _write(partner, {**_defaults(folder, domains), **(settings or {})})
        partner._run("postfix", "start")
        until(lambda: _answers(partner.port), describe=f"Postfix answers; it says:\n{partner.log()}")
        yield partner
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):  # it did not even start
            partner._run("postfix", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _write(partner: Postfix, settings: Mapping[str, Any]) -> None:
    folder = partner.folder
    os.chmod(folder, 0o755)
    for name in ("conf", "queue", "data", "mail"):
        (folder / name).mkdir()
    for name in ("data", "mail"):
        shutil.chown(folder / name, pwd.getpwnam("postfix").pw_name)
    (folder / "conf" / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
    master = SMTPD.sub(f"127.0.0.1:{partner.port} inet n - n - - smtpd", SAMPLE.read_text())
    (folder / "conf" / "master.cf").write_text(SERVICE.sub(r"\1n\2", master))  # nothing runs in a chroot


def _defaults(folder: Path, domains: Sequence[str]) -> dict[str, Any]:
    user = pwd.getpwnam("postfix")
    return {
        "compatibility_level": "3.6",
        "queue_directory": folder / "queue",
        "data_directory": folder / "data",
        "command_directory": "/usr/sbin",
        "daemon_directory": DAEMONS,
        "mail_owner": "postfix",
        "setgid_group": "postdrop",
        "myhostname": "partner.example",
        "mydestination": "",
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "mynetworks": "127.0.0.0/8",
        "relay_domains": "",
        "smtp_dns_support_level": "disabled",
        "smtp_host_lookup": "native",
        "maillog_file": folder / "maillog",
        "maillog_file_prefixes": folder,
        "alias_maps": "",
        "alias_database": "",
        "smtpd_peername_lookup": "no",
        "smtpd_tls_loglevel": 1,
        "smtp_tls_loglevel": 1,
        "virtual_mailbox_domains": ", ".join(domains),
        "virtual_mailbox_base": folder / "mail",
        "virtual_mailbox_maps": "static:inbox/",
        "virtual_minimum_uid": 1,
        "virtual_uid_maps": f"static:{user.pw_uid}",
        "virtual_gid_maps": f"static:{user.pw_gid}",
    }


def _answers(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            return client.noop()[0] == 250
    except OSError:
        return False
