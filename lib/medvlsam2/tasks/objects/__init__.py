"""Object expressions on masks: "largest kidneys", "cyst in left kidney nearest to liver", "upper half of spleen".

Names are looked for by :class:`~medvlsam2.tasks.measure.fact_source.Facts`, the rest is computed here on their masks,
on the scan's own voxels. All directions are the patient's, in RAS+ mm, so oblique and mirrored scans need no care.

What the words of an expression mean:

==========================  ==========================================================================================
several objects             lesions of a finding (connected pieces, 26 neighbours); the two of a pair; the members of a
                            series (vertebrae, ribs); else the parts of a whole. Anything else is one object.
"cyst", "lesion" …          all kinds that the source knows of it ("liver cyst", "kidney cyst"), if not the word itself
in                          a lesion: at least half of it lies in the place, whose holes count; or it is known to lie
                            there and touches it (``IN_GAP_MM``). One object: the part of it that lies in the place.
above, below, left of …     its centre lies beyond the place's end; without such an object, beyond the place's centre.
                            What lies in the place is no candidate. Left and right, front and back are compared where
                            the place is seen at the object's own level.
nearest to, farthest from   by the shortest distance of the surfaces in mm. Of lesions inside the place the one nearest
                            to its surface. Of several conditions these are taken last.
touching                    at most one voxel lies between nothing and the place: they overlap or share a face or corner
next above, next below      the neighbour in the series of vertebrae or ribs; else the nearest centre on that side
at the level of             lesions, vertebrae and ribs that share at least half of the less high one's height with the
                            place; of other objects, also of the two of a pair, the part at that height
on the left, on the right   by its own side; else by the middle of the body: spinal cord, spine, or a pair of organs
larger than, smaller than   by the longest diameter on one slice
halves and thirds           by the object's own extent along one axis of the patient, each of several objects by itself
thoracic, abdominal and     cut at the base of the lungs (or between T12 and L1 where vertebrae are seen) and at the
pelvic part                 upper end of the sacrum or S1
largest, smallest           by volume
highest, leftmost …         by the centre
densest, least dense        by the mean HU
==========================  ==========================================================================================

The order is: conditions, then "nearest to" and "farthest from", then the part, then the choice. A name that is not
assessed makes the whole expression not assessed; so does a name after "without".
"""
