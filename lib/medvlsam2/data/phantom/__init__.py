"""Procedural CT phantom: a random patient in a random scan, with an exact label map and all facts of the scan.

How a phantom is made (``generate``):

1. ``patient`` draws a person, and ``scanner.acquisition`` draws the voxel grid.
2. ``canvas`` holds the grid. Each voxel knows its position in the frame of one reference patient, after a smooth
   random warp. So the anatomy is written once, as coordinates in mm of the reference patient.
3. ``anatomy`` paints organs and bones one after another; a later structure covers an earlier one. Each structure is an
   implicit surface of ``shapes``: a function that gives the signed distance in mm of each voxel (negative inside).
4. ``pathology`` implants findings, and ``scanner`` adds blur, noise and artefacts.
"""

from medvlsam2.data.phantom.config import PhantomConfig
from medvlsam2.data.phantom.files import FILES, write_phantom
from medvlsam2.data.phantom.generate import Phantom, generate

__all__ = ["FILES", "Phantom", "PhantomConfig", "generate", "write_phantom"]
