"""What people see: results on stdout, all else on stderr; what a model wrote never meets Rich markup. No JAX.

visible      control characters of foreign text, shown and not obeyed
streams      stdout and stderr that may be closed, full or gone
console      errors, notes and results, and how figures are written
tables       results
heatmap      a text whose characters are tinted by their surprise or another number
rows         JSON lines and CSV for programs
bars         progress of what takes its time
sparkline    a curve on a line
card         a run on a page of the terminal
comparison   runs beside each other
remarks      what is said of a run in plain lines
live         the live view of a run
watcher      which of them a run is shown by, or JSON
repeat       the command that repeats a run exactly
gradients    how they flow back: a table with bars, and a picture
memory       how far each cell has it: a table, and a picture
advice       what the curves of a finished run say
plots        learning curves as pictures
gates        a heat map of gates below a text, and tables of what they do
gateplots    the same as a picture
signed       a text with numbers below 0 and above, tinted or with signs
neurons      units with a meaning
attribution  what a prediction rests on
paintings    both as pictures
tensorboard  event files
page         HTML as a tree of elements
svg          charts for it
inside       gates, neurons and gradients on it
report       all that is known of a model on one page; report.css and report.js are its style and its script
"""
