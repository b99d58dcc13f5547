"""Settings of a server: one typed record, its sources (options, environment, ``--conf``), and its help text."""
