"""Labels between files and scans: where a scan's file places it, what a submitted label means, what is written back.

Every module is imported by its own name; ``data.volume`` and the readers stand beside this folder and use it.
"""
