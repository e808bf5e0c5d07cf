"""Commands, one file a group; imports are lazy because an administrator waits for each."""
