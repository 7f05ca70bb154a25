"""Sampling: text that a model generates. In reading order:

filters      logits -> the id of the next character
ending       where a sample of so many documents ends
generation   the jitted chunk of steps, and `generate`, a generator of text
"""
