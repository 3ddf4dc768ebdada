"""How do the files of a corpus become sentences? One file for each format."""
