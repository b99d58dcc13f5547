"""Scans, label maps, structure names, phantoms, reports and questions: all data that need no neural network."""
