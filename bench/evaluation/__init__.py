"""Evaluation: how long it takes, and in how much memory, beside TrackEval and the official way."""
