"""Steps of training: one file for each kind says what its steps draw from the data and what loss they compute.

===============  ==================================================================  ==========
file             kinds of step                                                       stages
===============  ==================================================================  ==========
``text``         ``text``, ``copy`` and ``reading``: the language model alone        0
``conversation`` ``conversation``: questions about volumes, and reports              1, 2, 3
``alignment``    ``alignment``: requests in two wordings, told apart by [SEG]        2, 3
``pixels/dense`` ``dense``: many structures against every pixel                      3
``pixels/masks`` ``masks``: the mask decoder on single slices                        3
``pixels/clip``  ``clip``: the mask decoder along slices, with memory                3
``tasks``        ``tasks``: queries, object expressions and reports from text        4
``distil``       ``distil``: [SEG] learns another model's prompt tokens              4
``picture``      ``picture``: short answers and free reports from the image          4
===============  ==================================================================  ==========

They stand on two files and on the room ``pixels``. ``base`` says what every step has in common; ``turns`` reads
questions and requests after an image. ``mix`` lists all kinds and their shares in each stage, and ``stream`` draws the
steps of a stage one after the other.
"""
