"""Whole networks against those of other libraries."""
