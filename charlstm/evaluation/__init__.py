"""Scores: how well a text is predicted. In reading order:

tally        adds up nats exactly, with a standard error
predictions  what each character cost a reader, and how sure it was
static       the score of a model as it is, in one stream, in many, or in windows
states       what a model remembers at many places of a text
dynamic      the score of weights that go on learning from what they were scored on
counting     what followed contexts, by sorting them
baseline     what a text costs without a network
experts      counting after contexts of many kinds
mixture      the network and these experts together
surprise     the nats of every character, in order
characters   what is shown of them: characters and lines
files        a score for each of many files
novelty      what of a text stands in another
report       everything that `evaluate` is asked for
comparison   models beside each other, on the same places of a text
"""
