"""Sampling: text that a model generates. In reading order:

filters      logits -> the id of the next character
repetition   copies of what was written before, and their price
allowed      `only` and `ban` -> masks
prompt       reading a text: states, logits and the last characters
generation   the jitted chunk of steps, and a generator of what it draws
ends         where a text ends
samples      from what is asked for to texts that grow
words        where words and lines end
completion   the most probable continuations
session      a text that a writer and a model write in turns
"""
