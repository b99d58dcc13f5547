"""``python -m medvlsam2.cli``: the command without its installed script."""

from medvlsam2.cli.process import command

command()
