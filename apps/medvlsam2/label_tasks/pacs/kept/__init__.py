"""Files of a PACS on this machine's disk: which series stay for how long, and labels without their scan."""
