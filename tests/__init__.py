"""The tests; one sentence per name."""
