"""What the drivers share: checks with names, and one way to use the sync and the aio clients."""

import inspect
import os
import subprocess
import sys
import traceback
from contextlib import asynccontextmanager

from azure.core.exceptions import HttpResponseError


class World:
    """The clients of one kind, sync or aio, over the connection strings that the harness gives."""

    def __init__(self, mode: str):
        if mode == "aio":
            from azure.communication.identity.aio import CommunicationIdentityClient
            from azure.communication.phonenumbers.aio import PhoneNumbersClient
            from azure.communication.phonenumbers.siprouting.aio import SipRoutingClient
        else:
            from azure.communication.identity import CommunicationIdentityClient
            from azure.communication.phonenumbers import PhoneNumbersClient
            from azure.communication.phonenumbers.siprouting import SipRoutingClient
        self.kinds = {
            "identity": CommunicationIdentityClient,
            "numbers": PhoneNumbersClient,
            "sip": SipRoutingClient,
        }
        self.opened = []

    def client(self, kind: str, of: str = "TRUNKLINE_CONNECTION", **options):
        """A client over the connection string in a variable of the environment."""
        return self.over(kind, os.environ[of], **options)

    def over(self, kind: str, connection: str, **options):
        client = self.kinds[kind].from_connection_string(connection, **options)
        self.opened.append(client)
        return client

    async def close(self):
        for client in self.opened:
            # The sync client of identities alone has no close.
            if hasattr(client, "close"):
                await done(client.close())


async def done(value):
    """What a call of either kind of client returns in the end."""
    return await value if inspect.isawaitable(value) else value


async def finished(begin, *arguments, **options):
    """The result of a long-running operation."""
    poller = await done(begin(*arguments, **options))
    return await done(poller.result())


async def listed(pager) -> list:
    return [item async for item in pager] if hasattr(pager, "__aiter__") else list(pager)


async def paged(pager) -> list:
    """The items, page by page."""
    pages = pager.by_page()
    if hasattr(pages, "__aiter__"):
        return [[item async for item in page] async for page in pages]
    return [list(page) for page in pages]


async def refused(status: int, code: str, kind, call, *arguments, **options):
    """The error that a call must raise: its status, its code and its class."""
    try:
        answer = await done(call(*arguments, **options))
    except HttpResponseError as error:
        assert type(error) is kind, f"{type(error).__name__}, not {kind.__name__}: {error}"
        said = (error.status_code, error.error and error.error.code)
        assert said == (status, code), f"{said}, not {(status, code)}: {error}"
        return error
    raise AssertionError(f"it was not refused: {answer}")


@asynccontextmanager
async def held_database():
    """Holds the write lock of the database, as a backup or another program would, until it is let go."""
    script = os.path.join(os.path.dirname(__file__), "hold_database.py")
    holder = subprocess.Popen(
        [sys.executable, script, os.environ["TRUNKLINE_DATABASE"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"

    def let_go():
        if holder.poll() is None:
            holder.stdin.close()
            assert holder.wait() == 0

    try:
        yield let_go
    finally:
        let_go()
        holder.stdout.close()


async def run(world: World, checks) -> bool:
    """Runs the checks in their order, says how each went, and returns whether all went well."""
    good = True
    for check in checks:
        try:
            await check(world)
        except Exception:
            traceback.print_exc()
            good = False
            print(f"not ok {check.__name__}", flush=True)
        else:
            print(f"ok {check.__name__}", flush=True)
    await world.close()
    return good
