"""Peer discovery inside a Kubernetes cluster, over the DNS of a headless Service."""
