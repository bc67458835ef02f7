"""Trackers: what association costs after the network."""
