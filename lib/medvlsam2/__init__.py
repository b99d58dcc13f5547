"""MedVL-SAM2: words, clicks and boxes in, masks, reports and answers out, on 3-D CT.

A re-implementation of the model of arXiv:2601.09879 for MONAI Label. Research only; not a medical device.
"""

from typing import Final

__version__ = "0.1.0"

NOTICE: Final = "Research only; not a medical device."
"""Shown with every result: in the terminal, in pictures, in replies and on the server's pages."""
