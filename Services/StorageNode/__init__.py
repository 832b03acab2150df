"""The storage node: files of clients, in one folder each."""
