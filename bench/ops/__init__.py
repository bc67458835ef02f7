"""A benchmark a file, one op against other implementations, which are in peers."""
