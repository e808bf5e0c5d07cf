"""The names of everything that is logged or kept in a message's history, in one place: they are stable."""

from __future__ import annotations

# the server
SERVER_STARTED = "server.started"
SERVER_READY = "server.ready"
SERVER_STOPPING = "server.stopping"
SERVER_STOPPED = "server.stopped"
SERVER_RELOADED = "server.reloaded"
SERVER_RELOAD_REFUSED = "server.reload-refused"
FILES_CHANGED = "server.files-changed"
WEB_READY = "web.ready"
WEB_LATER = "web.later"  # a request that cannot be answered now
PORTAL = "portal"  # what readers and senders do at the pages: `what` and `result`, no address, no id
WEB_REFUSED = "web.refused"  # a sign-in that came to nothing; no address, no link
WITNESS_REFUSED = "witness.refused"  # a checkpoint of a partner's log was not countersigned
TOKEN_USE = "token.use"  # noqa: S105 - a token process has done what it was asked
WORKER_STARTED = "worker.started"
WORKER_DIED = "worker.died"
WORKER_ABSENT = "worker.absent"
WORKER_BACK = "worker.back"
SHARD_ADOPTED = "shard.adopted"
SHARD_ALARM = "shard.alarm"
CONFIG_WARNING = "config.warning"
CONNECTOR_BROKEN = "connector.broken"
CONNECTOR_MENDED = "connector.mended"
PROBED = "probe.done"
ALARM = "alarm"  # a person must act before something breaks
HOUSEKEEPING = "housekeeping"  # something small went wrong and is tried again
LIBRARY = "library"  # a warning of a library, in its words
DEFECT = "defect"  # a bug of ours: carries a traceback, for us alone

# a session
SESSION_CLOSED = "session.closed"
SESSION_REFUSED = "session.refused"
SESSION_ERROR = "session.error"
TLS_ESTABLISHED = "tls.established"
TLS_FAILED = "tls.failed"

# a message: these stand in its history, too
MAIL_REFUSED = "mail.refused"
MAIL_WOULD_REFUSE = "mail.would-refuse"  # audit mode
MESSAGE_ACCEPTED = "message.accepted"
MESSAGE_NOT_STORED = "message.not-stored"
DELIVERED = "delivery.delivered"
DELIVERY_DEFERRED = "delivery.deferred"
DELIVERY_FAILED = "delivery.failed"
DELIVERY_RESTARTED = "delivery.restarted"  # the configuration has changed in the middle of an attempt
SIGNATURE_BROKEN = "signature.broken"  # one that held when the message came, by what we did to it
MESSAGE_EXPIRED = "message.expired"
MESSAGE_HELD = "message.held"
MESSAGE_QUARANTINED = "message.quarantined"  # damaged in the queue: held, nothing of it was sent
MESSAGE_RELEASED = "message.released"
MESSAGE_RETRIED = "message.retried"
MESSAGE_DELETED = "message.deleted"
MESSAGE_RETURNED = "message.returned"  # an administrator gave it up: its sender is told
SETTLEMENT_NOT_STORED = "settlement.not-stored"  # tried again until it is
SETTLEMENT_SUPERSEDED = "settlement.superseded"  # somebody else had the recipient: it may have been sent twice
NODE_JOINED = "node.joined"
NODE_LOST = "node.lost"  # this node was declared dead by the others: what it had in hand is theirs
NODE_TAKEN_OVER = "node.taken-over"  # mail of a dead node waits for the others
STORE_AWAY = "store.away"  # the database of the shared queue cannot be reached
STORE_BACK = "store.back"
QUEUE_UNREADABLE = "queue.unreadable"
QUEUE_HASTENED = "queue.hastened"  # times of attempts that no clock in order had set
NOTICE_SENT = "notice.sent"
NOTICE_SUPPRESSED = "notice.suppressed"

# daily reports
REPORT_COMPOSED = "report.composed"
REPORT_QUEUED = "report.queued"  # as mail
REPORT_POSTED = "report.posted"  # by HTTPS
REPORT_FAILED = "report.failed"
REPORT_RECEIVED = "report.received"  # of somebody else
REPORT_UNREAD = "report.unread"
REPORT_COUNTS_LOST = "report.counts-lost"

# samples of mail that other verifiers judged, too
OPINION_AGREES = "second-opinion.agrees"
OPINION_DIFFERS = "second-opinion.differs"
OPINION_SKIPPED = "second-opinion.skipped"
# recipients' certificates
DIRECTORY_ANSWER = "directory.answer"  # which certificate, of which source, or why none
DIRECTORY_DOWN = "directory.source-down"
DIRECTORY_FAULT = "directory.fault"  # a file or an entry that cannot be used
DIRECTORY_LEARNED = "directory.learned"
