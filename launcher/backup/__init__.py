"""The hub's state in one file, and back: the database, what processes were started with, and on demand the secrets."""
