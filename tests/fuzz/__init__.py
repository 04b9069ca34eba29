"""The readers of replies under a coverage-guided fuzzer: ``scripts/fuzz [seconds]``."""
