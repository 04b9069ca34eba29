"""Tests on a real control plane, and what starts it; see README.md here."""
