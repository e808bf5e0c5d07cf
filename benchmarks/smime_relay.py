"""The relay with all security work against Postfix with an `openssl cms` filter: `python benchmarks/smime_relay.py`.

TLS is required on both sides. Ours verifies the DKIM signature of each message, signs and encrypts it with S/MIME;
Postfix hands each message to a filter (pipe(8)) that signs and encrypts it with two processes of `openssl cms` and
gives it back by SMTP. 4 KiB, 20 sessions. One JSON line with the median of the ratios; promised is 5.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from racing import Run, Track, make_track, postfix, rate, relay

from mta.adapters.pki import Authority
from mta.rfc.dkim.body import AuthMessage, body_hashes
from mta.rfc.dkim.canonicalize import Headers
from mta.rfc.dkim.sign import BODY, sign
from mta.rfc.mime.header import scan_header
from tests.support.dns_server import DnsServer
from tests.support.signatures import local_signer, record, rsa_key

PROMISED = 5.0
ANNA, BERND = "a@own.test", "b@example.test"
FILTER = """#!/bin/bash
# pipe(8) gives the message on standard input; it goes back by SMTP, signed and encrypted.
set -e
header=
while IFS= read -r line && [ -n "$line" ]; do header="$header$line"$'\\r\\n'; done
exec 3<>/dev/tcp/127.0.0.1/{port}
say() {{ printf '%s\\r\\n' "$1" >&3; read -r answer <&3; }}
read -r answer <&3
say "HELO filter"; say "MAIL FROM:<$1>"; say "RCPT TO:<$2>"; say "DATA"
printf '%s' "$header" >&3
openssl cms -sign -md sha256 -signer {folder}/anna.pem -inkey {folder}/anna.key -crlfeol |
  openssl cms -encrypt -aes256 -crlfeol {folder}/bernd.pem >&3
say "."
printf 'QUIT\\r\\n' >&3
"""


def make_people(folder: Path) -> None:
    """Anna, who signs, and Bernd, who can read."""
    authority = Authority("People", key="rsa-2048")
    for name, address in (("anna", ANNA), ("bernd", BERND)):
        authority.issue(emails=[address], eku=["emailProtection"], key="rsa-2048").write(folder, name)
    for kind in ("own", "recipients"):
        (folder / kind).mkdir()
    (folder / "own" / f"{ANNA}.pem").write_bytes((folder / "anna.pem").read_bytes())
    (folder / "own" / f"{ANNA}.key").write_bytes((folder / "anna.key").read_bytes())
    (folder / "recipients" / f"{BERND}.pem").write_bytes((folder / "bernd.pem").read_bytes())
    (folder / "anna.key").chmod(0o644)  # the filter runs as nobody; the key is thrown away


def signed_message(size: int) -> bytes:
    """A message of own.test with its DKIM signature."""
    header = f"From: Anna <{ANNA}>\r\nTo: Bernd <{BERND}>\r\nSubject: race\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    header += "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"
    line = b"The figures of the third quarter are better than those of the second one.\r\n"
    raw = header.encode() + line * (size // len(line))
    block = scan_header(raw, len(raw))
    hashed = body_hashes(AuthMessage.in_memory(block), (BODY,))[BODY].digest
    return sign(Headers(block), hashed, local_signer("own.test", "r", rsa_key()), time.time()) + raw


def quoted(text: str) -> str:
    """A TXT record as zone files write it."""
    return " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))


def filter_in(folder: Path, port: int) -> str:
    """The program for pipe(8)."""
    program = folder / "filter"
    program.write_text(FILTER.format(port=port, folder=folder))
    program.chmod(0o755)
    return str(program)


def race(track: Track, run: Run, rounds: int, dns: DnsServer) -> list[tuple[float, float]]:
    """Both relays in turn."""
    folder = track.folder
    rest = f"""
domains:
  own.test: {{deliver_to: ["127.0.0.1:{track.sink}"], connector: internal, smime: {{people: {folder}/own}}}}
directory:
  sources: [{{type: folder, path: {folder}/recipients}}]
"""
    ours = relay(
        track,
        run,
        extra_connectors=rest,
        outbound=", smime: {sign: always, encrypt: required}",
        authentication=", authentication: {dkim: valid, on_failure: refuse}",
        server=f'dns: {{nameservers: ["{dns.host}:{dns.port}"]}}',
    )
    with postfix(track, run, lambda port: filter_in(folder, port)) as theirs, ours as mine:
        return [(rate(mine.port, track, run), rate(theirs, track, run)) for _ in range(rounds)]


def main(rounds: int, messages: int) -> None:
    """Print the line."""
    track = make_track(Path(tempfile.mkdtemp(prefix="race-")))
    make_people(track.folder)
    letter = track.folder / "letter"
    letter.write_bytes(signed_message(4096))
    run = Run(messages=messages, keep=True, tls=True, file=str(letter), sender=ANNA)
    dns = DnsServer({("r._domainkey.own.test", "TXT"): [quoted(record(rsa_key()).decode())]})
    try:
        pairs = race(track, run, rounds, dns)
    finally:
        dns.close()
    ratio = statistics.median(mine / peers for mine, peers in pairs)
    told = {"mta": [round(mine) for mine, _ in pairs], "postfix": [round(peers) for _, peers in pairs]}
    print(
        json.dumps(
            {"case": "smime-relay", **told, "ratio": round(ratio, 2), "promised": PROMISED, "kept": ratio >= PROMISED}
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=1000)
    given = parser.parse_args()
    main(given.rounds, given.messages)
