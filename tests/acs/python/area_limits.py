"""Too much, and not now: 429, quotas, and 503, as the clients meet them with their own retries."""

from azure.communication.phonenumbers import PhoneNumberCapabilities
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from checks import done, finished, held_database, refused

NUMBER = "+12065550199"
SEARCH = ("US", "geographic", "application", PhoneNumberCapabilities(calling="outbound", sms="none"))
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


async def quota_of_searches_is_403(world):
    # PROV-05. It is not 429: nobody waits a week.
    client = world.client("numbers")
    begin = client.begin_search_available_phone_numbers
    for _ in range(5):
        await finished(begin, *SEARCH, polling_interval=0)
    await refused(403, "QuotaExceeded", HttpResponseError, begin, *SEARCH)


async def busy_database_is_503_and_retried(world):
    client = world.client("identity")
    seen = []
    async with held_database() as let_go:

        def hook(answer):
            seen.append((answer.http_response.status_code, answer.http_response.headers.get("Retry-After")))
            let_go()

        user = await done(client.create_user(raw_response_hook=hook))
    assert user.raw_id.startswith("8:acs:")
    assert seen == [(503, "1"), (201, None)], seen


CHECKS = [
    rate_limit_is_429,
    rate_limit_is_waited_out,
    quota_of_searches_is_403,
    busy_database_is_503_and_retried,
]
