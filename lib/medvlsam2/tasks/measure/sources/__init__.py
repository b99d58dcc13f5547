"""Where the masks of names come from: what a source must answer, masks that are given, sides joined to one mask."""
