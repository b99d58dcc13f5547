"""The simulated scanner: voxel grid, blur, noise and artefacts."""
