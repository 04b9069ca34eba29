"""A replicated key-value store that finds its peers by the DNS of a headless Service.

Every node holds every key. Read it in this order: `entries` (which write wins), `messages` and
`exchange` (what two nodes tell each other), `journal` (what survives a crash), `node` (when a write
is acknowledged, whom to gossip with), `web` and `transport` (HTTP), `__main__` (a pod's process).
The first three are pure: no I/O, no time, no chance.
"""
