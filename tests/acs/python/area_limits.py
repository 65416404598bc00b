"""Too much at once: 429, without and with the clients' own retries."""

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from checks import done, refused

NUMBER = "+12065550199"
# More than the harness lets through at once.
PLENTY = 200


async def rate_limit_is_429(world):
    client = world.client("numbers", retry_total=0)
    for _ in range(PLENTY):
        try:
            await done(client.get_purchased_phone_number(NUMBER))
        except ResourceNotFoundError:
            continue
        except HttpResponseError as error:
            assert (error.status_code, error.error.code) == (429, "TooManyRequests"), error
            assert int(error.response.headers["Retry-After"]) >= 1
            return
    raise AssertionError("there was no limit")


async def rate_limit_is_waited_out(world):
    client = world.client("numbers")
    seen = []
    for _ in range(PLENTY):
        call = client.get_purchased_phone_number
        options = {"raw_response_hook": lambda answer: seen.append(answer.http_response.status_code)}
        await refused(404, "NotFound", ResourceNotFoundError, call, NUMBER, **options)
        if 429 in seen:
            assert seen[-1] == 404, seen
            return
    raise AssertionError("there was no limit")


CHECKS = [rate_limit_is_429, rate_limit_is_waited_out]
