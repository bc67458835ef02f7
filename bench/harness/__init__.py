"""What benchmarks share: contenders, agreement, times, tables, files."""
