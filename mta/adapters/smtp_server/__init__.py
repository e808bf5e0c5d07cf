"""SMTP in: aiosmtpd's protocol class with grammar, replies, STARTTLS, timeouts and errors of our own.

`stream` holds the bytes, `protocol` the life of a connection, `commands` the verbs, `content` the message.
"""
