"""How well a model does: measurements on scans whose truth is known, their intervals, tables and plots."""
