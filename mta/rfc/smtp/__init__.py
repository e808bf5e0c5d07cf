"""RFC 5321 and its extensions: grammar, replies, data framing, the client's side of the conversation."""
