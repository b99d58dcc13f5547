"""Folders of many scans: lists to train on, and submitted labels as a data set."""
