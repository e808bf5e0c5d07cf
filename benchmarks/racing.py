"""What the races share: a private Postfix, our relay, and the clock from the first byte to the last at the sink."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.pki import Authority
from tests.support.running_mta import free_port, until

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Run:
    """One load: how many messages of which size, over how many sessions, kept or not, with TLS or not."""

    messages: int = 2000
    size: int = 4096
    sessions: int = 20
    keep: bool = False
    tls: bool = False
    seconds: float = 240.0
    file: str = ""  # this message instead of one of `size`; our own load sends it
    sender: str = "a@example.test"


@dataclass(frozen=True)
class Track:
    """Where the races take place: the sink's port, the sink's certificate and ours."""

    folder: Path
    sink: int
    pem: str
    chain: str
    key: str
    ca: str


def make_track(folder: Path) -> Track:
    """A throw-away PKI and a free port."""
    authority = Authority("Race CA")
    issued = authority.issue(dns_names=("sink.test", "mx.example.test", "localhost"))
    chain, key = issued.write(folder, "race")
    pem = folder / "both.pem"
    pem.write_text(Path(chain).read_text() + Path(key).read_text())
    ca = folder / "ca.pem"
    authority.write(ca)
    os.chmod(folder, 0o755)
    return Track(folder, free_port(), str(pem), str(chain), str(key), str(ca))


def rate(port: int, track: Track, run: Run) -> float:
    """Messages per second through the relay at `port`, until the sink has all of them."""
    sink = subprocess.Popen(
        [sys.executable, str(HERE / "smtp_sink.py"), str(track.sink), str(run.messages)]
        + (["--tls", track.pem] if run.tls else [])
        + ["--seconds", str(run.seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert sink.stdout is not None
    sink.stdout.readline()
    load = subprocess.run(
        [sys.executable, str(HERE / "smtp_load.py"), f"127.0.0.1:{port}", "--messages", str(run.messages)]
        + ["--sessions", str(run.sessions), "--size", str(run.size), "--seconds", str(run.seconds)]
        + (["--keep"] if run.keep else [])
        + (["--tls"] if run.tls else [])
        + (["--file", run.file] if run.file else [])
        + ["--sender", run.sender],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    begun = json.loads(load.stdout)["begun"]
    outcome = json.loads(sink.communicate()[0])
    if outcome["last"] is None:
        raise SystemExit(f"only {outcome['count']} of {run.messages} arrived through port {port}")
    return run.messages / (outcome["last"] - begun)


def rate_by_postfix_tools(port: int, track: Track, run: Run) -> float:
    """The same in clear with Postfix's own smtp-source and smtp-sink, which cost less than Python."""
    counter = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the sink
    sink = subprocess.Popen(["smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{track.sink}", "1024"], stdout=counter)
    try:
        time.sleep(0.5)
        begun = time.time()
        load = subprocess.Popen(
            ["smtp-source", "-s", str(run.sessions), "-l", str(run.size), "-m", str(run.messages)]
            + (["-d"] if run.keep else [])
            + ["-f", "a@example.test", "-t", "b@example.test", "-M", "load.test", f"127.0.0.1:{port}"]
        )
        try:
            while _counted(counter) < run.messages:
                if time.time() > begun + run.seconds:
                    raise SystemExit(f"only {_counted(counter)} of {run.messages} arrived through port {port}")
                time.sleep(0.003)
            return run.messages / (time.time() - begun)
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                load.wait(10)
            load.kill()
    finally:
        sink.kill()
        sink.wait()


def _counted(counter) -> int:
    counter.seek(0, 2)
    counter.seek(max(0, counter.tell() - 200))
    seen = re.findall(rb"mesg=\s*(\d+)", counter.read())
    return int(seen[-1]) if seen else 0


@dataclass(frozen=True)
class Lap:
    """What one load came to: messages per second, and CPU microseconds per message of all the relay's processes."""

    rate: float
    cpu: float


def race(port: int, pid: int, track: Track, run: Run) -> Lap:
    """One load through the relay at `port`, whose first process is `pid`."""
    before = cpu_of(pid)
    found = race_rate(port, track, run)
    return Lap(found, (cpu_of(pid) - before) / run.messages * 1e6)


def race_rate(port: int, track: Track, run: Run) -> float:
    """With TLS our own load and sink, in clear Postfix's."""
    return rate(port, track, run) if run.tls else rate_by_postfix_tools(port, track, run)


def cpu_of(pid: int) -> float:
    """CPU seconds, user and system, of a process and all that it has started: those that live, and those it reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # it ended meanwhile: its parent has reaped it and counts it
    own = sum(int(field) for field in fields[11:15])  # proc(5): utime, stime, cutime, cstime
    return own / os.sysconf("SC_CLK_TCK") + sum(cpu_of(int(child)) for child in children)


@contextlib.contextmanager
def relay(
    track: Track,
    run: Run,
    *,
    extra_connectors: str = "",
    outbound: str = "",
    authentication: str = "",
    server: str = "",
    workers: str = "auto",
    prepare: Callable[[Ours], None] | None = None,
) -> Iterator[Ours]:
    """Our relay with default settings; with TLS it is required on both sides, the sink verified.

    `outbound`, `authentication` and `server` are further keys of the way to the sink, of what is demanded on arrival
    and of the server; `extra_connectors` is further text of the file. `prepare` is called with it before it runs.
    """
    folder = Path(tempfile.mkdtemp(prefix="race-mta-"))
    level = "verified, names: [sink.test], ca: " + track.ca if run.tls else "none"
    inbound = "{networks: [127.0.0.0/8]" + (", tls: required" if run.tls else "") + authentication + "}"
    text = f"""
server:
  hostname: mx.example.test
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  certificate: {{chain: {track.chain}, key: {track.key}}}
  workers: {workers}
  log: {{format: json}}
  {server}
connectors:
  internal:
    relay: true
    inbound: {inbound}
  sink:
    domains: [example.test]
    inbound: {{identity: none}}
    outbound: {{route: {{hosts: ["127.0.0.1:{track.sink}"]}}, tls: {{level: {level}}}{outbound}}}
{extra_connectors}"""
    port = free_port()
    config, log = folder / "connectors.yaml", folder / "log"
    config.write_text(text.replace("{port}", str(port)))
    if prepare:
        prepare(Ours(port, 0, config))
    with log.open("wb") as written:
        process = subprocess.Popen([sys.executable, "-m", "mta", "serve", "-c", str(config)], stderr=written)
    try:
        until(lambda: b"server.ready" in log.read_bytes() or process.poll() is not None, 60.0)
        if process.poll() is not None:
            raise SystemExit(log.read_text())
        yield Ours(port, process.pid, config)
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Peer:
    """A Postfix of ours that is running: its port, and its master's process id."""

    port: int
    master: int


@dataclass(frozen=True)
class Ours:
    """A relay of ours that is running."""

    port: int
    supervisor: int
    config: Path

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        children = Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children")
        return [int(number) for number in children.read_text().split()]


@contextlib.contextmanager
def postfix(track: Track, run: Run, content_filter: Callable[[int], str] | None = None) -> Iterator[Peer]:
    """A private Postfix with default settings that relays to the sink; with TLS required on both sides.

    `content_filter` gets the port where filtered mail comes back and returns the path of a program for pipe(8).
    """
    folder, port = Path(tempfile.mkdtemp(prefix="race-postfix-")), free_port()
    os.chmod(folder, 0o755)
    for name in ("conf", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", pwd.getpwnam("postfix").pw_name)
    settings = {
        "compatibility_level": "3.6",
        "queue_directory": folder / "queue",
        "data_directory": folder / "data",
        "command_directory": "/usr/sbin",
        "daemon_directory": "/usr/lib/postfix/sbin",
        "mail_owner": "postfix",
        "setgid_group": "postdrop",
        "myhostname": "mx.example.test",
        "mydestination": "",
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "mynetworks": "127.0.0.0/8",
        "relayhost": f"[127.0.0.1]:{track.sink}",
        "maillog_file": folder / "maillog",
        "maillog_file_prefixes": folder,
        "alias_maps": "",
        "alias_database": "",
    }
    if run.tls:
        settings |= {
            "smtpd_tls_security_level": "encrypt",
            "smtpd_tls_chain_files": f"{track.key}, {track.chain}",
            "smtp_tls_security_level": "secure",
            "smtp_tls_secure_cert_match": "sink.test",
            "smtp_tls_CAfile": track.ca,
        }
    (folder / "conf" / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
    master = Path("/usr/share/postfix/master.cf.dist").read_text()
    master = re.sub(r"^smtp +inet .*$", f"127.0.0.1:{port} inet n - n - 100 smtpd", master, flags=re.M)
    master = re.sub(r"^(\w\S* +(?:unix|fifo|pass|inet) +\S+ +\S+ +)[y-]( )", r"\1n\2", master, flags=re.M)
    if content_filter:
        back = free_port()
        program = content_filter(back)
        master = re.sub(r"^(127.* smtpd)$", r"\1\n  -o content_filter=filter:dummy", master, flags=re.M)
        master += f"127.0.0.1:{back} inet n - n - 100 smtpd\n  -o smtpd_tls_security_level=none\n"
        master += f"filter unix - n n - 20 pipe\n  flags=q user=nobody argv={program} ${{sender}} ${{recipient}}\n"
    (folder / "conf" / "master.cf").write_text(master)
    subprocess.run(["postfix", "-c", str(folder / "conf"), "start"], check=True, capture_output=True)
    try:
        time.sleep(1)
        yield Peer(port, int((folder / "queue" / "pid" / "master.pid").read_text()))
    finally:
        subprocess.run(["postfix", "-c", str(folder / "conf"), "stop"], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
