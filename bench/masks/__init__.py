"""Benchmark of what makes masks of mask logits."""
