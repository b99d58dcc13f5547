"""One request on its way: who asked, how far it is, and the masks of what it wants."""
