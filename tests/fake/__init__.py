"""The fake cluster."""
