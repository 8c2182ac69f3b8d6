"""The version of this package; it enters the basis hash of every decision."""

from __future__ import annotations

__version__ = "0.1.0"
