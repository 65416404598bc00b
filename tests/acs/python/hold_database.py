"""Holds the write lock of an SQLite database until its standard input ends."""

import sqlite3
import sys

database = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
database.execute("ROLLBACK")
