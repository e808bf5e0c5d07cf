"""When a waiting message is tried next, and which moves between states are legal."""
