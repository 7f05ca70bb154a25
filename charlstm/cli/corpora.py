"""`charlstm corpora`."""


def corpora() -> None:
    """List the named corpora, which can be used wherever a file can."""
    from charlstm.display.tables import show_corpora
    from charlstm.text.catalogue import NAMED

    show_corpora(list(NAMED.values()))
