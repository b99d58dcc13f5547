"""Steps that train masks, with the losses and the clicks that they share.

``dense`` compares many structures with every pixel. ``masks`` runs the mask decoder on single slices, ``clip`` along
slices with memory. ``losses`` computes losses from logits and labels; ``corrections`` places the clicks that correct
an answer.
"""
