"""JSON as it must be where signatures and rights hang on it: read strictly, written canonically."""
