"""S/MIME: the cryptographic envelope (CMS), and the message around it."""
