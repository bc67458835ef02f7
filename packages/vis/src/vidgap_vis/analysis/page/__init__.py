"""The analysis as one HTML page that needs nothing else: no network, no other file."""

from vidgap_vis.analysis.page.write import write_page

__all__ = ["write_page"]
