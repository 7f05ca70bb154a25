"""Sampling: text that a model generates. In reading order:

filters      logits -> the id of the next character
repetition   copies of what was written before, and their price
allowed      `only` and `ban` -> masks
prompt       reading a text: states, logits and the last characters
ends         where a text ends
ending       where a sample of so many documents ends
generation   the jitted chunk of steps, and `generate`, a generator of text
words        where words and lines end
completion   the most probable continuations
session      a text that a writer and a model write in turns
"""
