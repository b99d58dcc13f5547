"""A procedural CT phantom: a random patient, scanned at random, of whom everything is known."""

from medvlsam2.data.phantom.config import PhantomConfig
from medvlsam2.data.phantom.files import FILES, write
from medvlsam2.data.phantom.generate import Phantom, generate

__all__ = ["FILES", "Phantom", "PhantomConfig", "generate", "write"]
