"""One op against what else computes it, a file a benchmark; other implementations in peers."""
