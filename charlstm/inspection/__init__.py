"""What happens inside of a model while it reads: arrays, which `display` makes pictures and tables of.

passage   the text that is looked at, of any size
trace     gates and states over a text
predictions  what was expected at each place of a text
"""
