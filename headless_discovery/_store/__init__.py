"""One Service: its source, membership and selection joined; all that a `Peers` does but waiting."""
