"""Scans, label maps, structure names and procedural phantoms: everything that exists without a network."""
