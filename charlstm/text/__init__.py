"""From files to ids: every byte accounted for, and memory that does not grow with the text. Nothing here needs JAX.

In reading order:

    spool        what can be read only once, as files
    signatures   what the beginning of a file says of it
    unpacking    what gzip, bzip2, xz and zstd have packed
    catalogue    corpora that have a name
    sources      the files that a user's words stand for
    reading      bytes of files -> characters
    vocabulary   characters <-> ids
    documents    where texts are cut, and what stands between the pieces
    encoding     pieces of a text -> ids, in nanoseconds a byte
    ahead        work that threads do meanwhile
    store        what the cache keeps, and how long it holds
    passes       counting the characters of files, and writing their ids
    corpus       texts of any size as memory-mapped ids, kept in a cache
    batches      the one way to cut ids: into windows of streams
"""
