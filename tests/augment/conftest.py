"""Settings of the property tests."""

from hypothesis import settings

# A shared machine may take long over a small clip; timings never gate a test.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
