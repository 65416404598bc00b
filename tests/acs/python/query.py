"""Prints the rows of a query on an SQLite database: query.py FILE STATEMENT."""

import sqlite3
import sys

for row in sqlite3.connect(sys.argv[1], timeout=30).execute(sys.argv[2]):
    print(*row, sep="\t")
