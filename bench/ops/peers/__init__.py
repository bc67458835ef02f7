"""What others run for an op, called alike, and kernels as one writes them first."""
