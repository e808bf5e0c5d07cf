"""One library or outside system each, thin; only app (and tests) import them."""
