"""Speed as ratios: contenders side by side in one process. Run them by ``scripts/benchmark``."""
