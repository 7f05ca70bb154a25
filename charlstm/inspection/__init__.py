"""What happens inside of a model while it reads: arrays, which `display` makes pictures and tables of.

passage      the text that is looked at, of any size
trace        gates and states over a text
gates        how often gates are closed and open, and how long a memory lasts
features     what a reader could keep in mind of a text, at each character
bins         how well a single value predicts
following    how well units follow features while they read
neurons      which unit follows which feature
painting     a text with a number at each character
attribution  which characters a prediction rests on
predictions  what was expected at each place of a text
flow         how gradients flow back, and how small changes grow
gradients    the same beside other runs, and beside the three cells before any training
tasks        texts that can only be continued rightly by who remembers
memory       how far each cell remembers: small networks, trained on these texts
"""
