"""One library or outside system each, thin; only app.py (and tests) import them."""
