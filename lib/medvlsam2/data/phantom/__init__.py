"""A procedural CT phantom: a random patient, scanned at random, of whom everything is known."""

from medvlsam2.data.phantom.config import PhantomConfig
from medvlsam2.data.phantom.files import write
from medvlsam2.data.phantom.generate import Phantom, generate

__all__ = ["Phantom", "PhantomConfig", "generate", "write"]
