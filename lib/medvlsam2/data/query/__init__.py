"""A small language for objects in a scan and for questions about them: its types, its grammar and its reader."""
