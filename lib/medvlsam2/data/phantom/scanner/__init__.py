"""The scanner of the phantom: its grid, its blur, its noise and its artefacts."""
