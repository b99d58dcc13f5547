"""The organs, bones and vessels of the phantom."""
