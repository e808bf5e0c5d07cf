"""Every reply that the server gives by itself: of grammar, of order, of limits, and its last words."""

from __future__ import annotations

from mta.model.reply import Reply
from mta.rfc.smtp.data import DataFault

OK = Reply(250, "2.0.0", ("Ok",))
BYE = Reply(221, "2.0.0", ("Bye",))
GO_AHEAD = Reply(354, "", ("End data with <CR><LF>.<CR><LF>",))
READY_FOR_TLS = Reply(220, "2.0.0", ("Ready to start TLS",))
HELP = Reply(214, "2.0.0", ("See RFC 5321",))
VERIFY = Reply(252, "2.5.0", ("Cannot verify, but will take mail for this user and try to deliver it",))

UNKNOWN = Reply(500, "5.5.1", ("Command not recognized",))
NOT_OFFERED = Reply(502, "5.5.1", ("Command not implemented",))
HELO_FIRST = Reply(503, "5.5.1", ("Send EHLO first",))
MAIL_FIRST = Reply(503, "5.5.1", ("Send MAIL first",))
NESTED = Reply(503, "5.5.1", ("Nested MAIL command",))
NO_RECIPIENTS = Reply(554, "5.5.1", ("No valid recipients",))
ALREADY_TLS = Reply(503, "5.5.1", ("TLS is already active",))
NEEDS_ARGUMENT = Reply(501, "5.5.4", ("A parameter is required",))
NO_ARGUMENT = Reply(501, "5.5.4", ("No parameters allowed",))
BAD_HELO = Reply(501, "5.5.4", ("A domain or an address literal is required",))
BAD_SENDER = Reply(501, "5.1.7", ("Syntax error in sender address",))
BAD_RECIPIENT = Reply(501, "5.1.3", ("Syntax error in recipient address",))
NEEDS_UTF8 = Reply(553, "5.6.7", ("Address needs SMTPUTF8",))
DECLARED_TOO_LARGE = Reply(552, "5.3.4", ("Message larger than the limit announced",))
LINE_TOO_LONG = Reply(500, "5.5.2", ("Line too long",))
CHUNKS_BEGUN = Reply(503, "5.5.1", ("Send BDAT or RSET, the message has begun",))
BAD_CHUNK = Reply(501, "5.5.4", ("Syntax error, expected BDAT octets [LAST]",))
EARLY = Reply(554, "5.5.0", ("Commands sent before the reply that permits them",))
TOO_MANY_ERRORS = Reply(421, "4.7.0", ("Too many errors",))

TIMEOUT = Reply(421, "4.4.2", ("Timeout, closing connection",))
LOCAL_ERROR = Reply(421, "4.3.0", ("Local error, closing connection, try again later",))
SHUTTING_DOWN = Reply(421, "4.3.2", ("Service shutting down, try again later",))
CROWDED = Reply(421, "4.7.0", ("Too many connections, try again later",))
NO_STORAGE = Reply(452, "4.3.1", ("Insufficient system storage, try again later",))

OF_CONTENT = {
    DataFault.BARE_CR: Reply(550, "5.6.0", ("Bare CR in message",)),
    DataFault.BARE_LF: Reply(550, "5.6.0", ("Bare LF in message",)),
    DataFault.NUL: Reply(550, "5.6.0", ("NUL in message",)),
    DataFault.LINE_TOO_LONG: Reply(500, "5.6.0", ("Line too long in message",)),
    DataFault.TOO_LARGE: Reply(552, "5.3.4", ("Message too large",)),
}
