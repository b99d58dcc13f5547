"""Where on the body a scan lies, from the ends of the structures that it shows.

``axis_table.yaml`` holds the height of both ends of every structure in mm above the disc between L1 and L2
(``docs/programs/body_axis.py`` makes the table). Each structure with a mask is compared with it, and the scan's range
follows with its uncertainty. So a scan is known to show the place of a vertebra without a mask of that vertebra.
"""

from medvlsam2.tasks.measure.body_axis.extents import Extent, areas_of, extent_of, imaged_slices
from medvlsam2.tasks.measure.body_axis.fitting import fit
from medvlsam2.tasks.measure.body_axis.scan_range import ScanRange, Whereabouts
from medvlsam2.tasks.measure.body_axis.table import in_every_body

__all__ = ["Extent", "ScanRange", "Whereabouts", "areas_of", "extent_of", "fit", "imaged_slices", "in_every_body"]
