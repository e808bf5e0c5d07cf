"""The operations in the log of protected mail and files, in one place: partners read them, they are stable."""

from __future__ import annotations

from enum import StrEnum


class Operation(StrEnum):
    """What was done, or asked for."""

    PROTECT = "protect"
    OPEN = "open"  # by page or command
    READ = "read"  # once more, of what was opened in the same session
    REWRAP = "rewrap"  # a content key handed to a reader's program
    DOWNLOAD = "download"
    PRINT = "print"
    REPLY = "reply"
    PROVE = "prove"  # a second channel
    ENROL = "enrol"  # a reader has set up a second channel
    VISIT = "visit"  # a link was fetched, by whatever: nothing was opened, nobody has proved anything
    ASK = "ask"  # a reader whose time is over asks the owner
    INVITE = "invite"  # a notice was sent again
    FORGET = "forget"  # a second channel was taken away
    GRANT = "grant"
    REVOKE = "revoke"
    EXTEND = "extend"
    HOLD = "hold"
    RELEASE = "release"
    EXPIRE = "expire"
    SHRED = "shred"
    KEY_CREATE = "key.create"
    KEY_IMPORT = "key.import"
    KEY_ACTIVATE = "key.activate"
    KEY_ARCHIVE = "key.archive"
    KEY_HOLD = "key.hold"
    KEY_RELEASE = "key.release"
    KEY_DESTROY = "key.destroy"
    KEY_SELFTEST = "key.selftest"
    EPOCH = "epoch"  # the key that covers the vault's shares was renewed
    WITNESS = "witness"  # a witness contradicts the log, or is none any more
    DEVICE = "device"  # a reader let a program in, or did not
    SUPER_USER = "super-user"
    CONFIGURATION = "configuration"
    REDACT = "redact"  # the story behind a leaf was erased; the leaf stays


class Result(StrEnum):
    """What came of it."""

    PERMITTED = "permitted"  # written before a key is used
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
