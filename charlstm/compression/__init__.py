"""Files made small by a model: what it finds likely takes few bits. In reading order:

content      what of a file the model codes, and what is stored aside
learner      weights that learn from what is coded
walk         the probabilities of each symbol, found alike by both ends
coder        symbols <-> bits, by arithmetic coding
container    the file: a header with checksums, and what follows it
packing      all of it: bytes -> a compressed file -> the same bytes
"""
