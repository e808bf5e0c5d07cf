"""What is seen of the relay while it runs: event names, log lines, the history of a message."""
