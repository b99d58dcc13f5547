"""Finds lesions by brightness and shape, in or beside masks of organs that are sure."""
