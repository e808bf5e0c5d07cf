"""connectors.yaml in, frozen typed contracts out; every problem at once, at its line."""
