"""Sends texts with the official Python client: driver.py (sync | aio)."""

import asyncio
import inspect
import os
import sys
import traceback

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

MODE = sys.argv[1]
if MODE == "aio":
    from azure.communication.sms.aio import SmsClient
    from azure.core.pipeline.transport import AioHttpTransport as Transport
else:
    from azure.communication.sms import SmsClient
    from azure.core.pipeline.transport import RequestsTransport as Transport

CONNECTION = os.environ["TRUNKLINE_CONNECTION"]
NUMBER = os.environ["TRUNKLINE_NUMBER"]
TO = "+14255550100"


async def done(value):
    return await value if inspect.isawaitable(value) else value


def client(**options):
    return SmsClient.from_connection_string(CONNECTION, **options)


async def send(sms, *arguments, **options):
    """Sends, closes, and returns the results as a list."""
    try:
        return list(await done(sms.send(*arguments, **options)))
    finally:
        if hasattr(sms, "close"):
            await done(sms.close())
        elif hasattr(sms, "__aexit__"):
            await sms.__aexit__()


async def refused(status, code, kind, *arguments, **options):
    try:
        answer = await send(client(), *arguments, **options)
    except HttpResponseError as error:
        assert type(error) is kind, f"{type(error).__name__}: {error}"
        said = (error.status_code, error.error and error.error.code)
        assert said == (status, code), f"{said}: {error}"
        return error
    raise AssertionError(f"it was not refused: {answer}")


async def send_to_one():
    (result,) = await send(client(), NUMBER, TO, "Hello")
    assert (result.to, result.http_status_code, result.successful) == (TO, 202, True), vars(result)
    assert result.message_id.startswith("Outgoing_") and not result.error_message, vars(result)


async def send_to_many_with_options():
    to = [TO, "+1206555", "+12065550111"]
    results = await send(client(), NUMBER, to, "Grüße ☃", enable_delivery_report=True, tag="campaign-1")
    assert [result.to for result in results] == to
    assert [result.http_status_code for result in results] == [202, 400, 202]
    assert [result.successful for result in results] == [True, False, True]
    assert results[1].message_id is None and results[1].error_message == "Invalid To phone number format."


async def send_to_a_hundred():
    to = [f"+1{area}55501{line:02}" for area in (206, 425) for line in range(50)]
    results = await send(client(), NUMBER, to, "Hello, all")
    assert [result.to for result in results] == to
    assert all(result.successful for result in results)
    assert len({result.message_id for result in results}) == 100


async def a_request_that_comes_twice_is_one_message():
    class Twice(Transport):
        """Loses each first answer."""

        if MODE == "aio":
            async def send(self, request, **options):
                first = await super().send(request, **options)
                await first.load_body()
                bodies.append(first.body())
                return await super().send(request, **options)
        else:
            def send(self, request, **options):
                first = super().send(request, **options)
                bodies.append(first.body())
                return super().send(request, **options)

    bodies = []
    results = await send(client(transport=Twice()), NUMBER, [TO, "+12065550111"], "Once")
    assert len(bodies) == 1
    assert all(result.message_id in bodies[0].decode() for result in results), bodies


async def a_sender_of_nobody_is_401():
    await refused(401, "Denied", ClientAuthenticationError, "+12065550199", TO, "Hello")
    await refused(401, "Denied", ClientAuthenticationError, "24365", TO, "Hello")
    await refused(401, "Denied", ClientAuthenticationError, "CONTOSO", TO, "Hello")


async def another_key_is_401():
    endpoint, _, key = CONNECTION.rpartition("accesskey=")
    wrong = f"{endpoint}accesskey={key[1:4]}{key[:1]}{key[4:]}"
    try:
        await send(SmsClient.from_connection_string(wrong), NUMBER, TO, "Hello")
    except ClientAuthenticationError as error:
        assert error.error.code == "Denied"
        return
    raise AssertionError("another key sent a text")


async def what_is_no_request_is_400():
    bad = [
        ("12", TO, "Hello"),
        (NUMBER, [], "Hello"),
        (NUMBER, [TO] * 101, "Hello"),
        (NUMBER, TO, "x" * 2049),
    ]
    for arguments in bad:
        error = await refused(400, "BadRequest", HttpResponseError, *arguments)
        problem = error.response.json() if hasattr(error.response, "json") else {}
        assert not inspect.iscoroutine(problem)
        assert problem.get("status", 400) == 400
    (result,) = await send(client(), NUMBER, TO, "x" * 2048)
    assert result.successful


async def main():
    good = True
    for check in [
        send_to_one,
        send_to_many_with_options,
        send_to_a_hundred,
        a_request_that_comes_twice_is_one_message,
        a_sender_of_nobody_is_401,
        another_key_is_401,
        what_is_no_request_is_400,
    ]:
        try:
            await check()
            print(f"ok {check.__name__}", flush=True)
        except Exception:
            traceback.print_exc()
            print(f"not ok {check.__name__}", flush=True)
            good = False
    return good


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
