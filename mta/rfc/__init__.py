"""What the standards say, one folder a concept: no socket, file, clock, randomness or configuration."""
