"""The steps of a message's way that do things; each asks the policy of the same stem."""
