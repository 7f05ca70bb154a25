"""`python -m charlstm` is the command `charlstm`."""

from charlstm.cli import main

main()
