"""SMTP in: octets between aiosmtpd's protocol class and the state machine of rfc/smtp/server.py.

`protocol` is the life of a connection, `stream` its octets, `conversation` what each event has us do, `content` where
the message goes.
"""
