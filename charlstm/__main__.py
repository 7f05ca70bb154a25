"""The command `charlstm`, and `python -m charlstm`."""

import signal


def main() -> None:
    """Run the command line; while it is being loaded, Ctrl-C ends it without a word."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from charlstm.cli import main

    signal.signal(signal.SIGINT, before)
    main()


if __name__ == "__main__":
    main()
