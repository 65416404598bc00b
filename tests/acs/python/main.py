"""Runs one area of checks with the official Python clients: main.py (sync | aio) AREA."""

import asyncio
import importlib
import sys

import checks


async def main(mode: str, area: str) -> bool:
    return await checks.run(checks.World(mode), importlib.import_module(f"area_{area}").CHECKS)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(*sys.argv[1:])) else 1)
