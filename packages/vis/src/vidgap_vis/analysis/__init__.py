"""Why results lose AP: everything that can be said of it as data, as tables, as figures, as a page.

`analyse` gathers the data, `tables` prints them, `write_page` makes one HTML file of them and
`write_figures` strips of frames.
"""

from vidgap_vis.analysis.figures import write_figures
from vidgap_vis.analysis.page import write_page
from vidgap_vis.analysis.results import Analysed, analysed
from vidgap_vis.analysis.summary import analyse, compared
from vidgap_vis.analysis.tables import tables

__all__ = ["Analysed", "analyse", "analysed", "compared", "tables", "write_figures", "write_page"]
