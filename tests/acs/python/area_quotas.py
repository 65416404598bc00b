"""Not now, and no more: 503 while the database is busy, 429 while a purchase is under way, 403 after the last search."""

import asyncio

from azure.communication.phonenumbers import PhoneNumberCapabilities
from azure.core.exceptions import HttpResponseError

from checks import done, finished, held_database, refused

SEARCH = ("US", "geographic", "application", PhoneNumberCapabilities(calling="outbound", sms="none"))
SEARCHES_A_WEEK = 5


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


async def purchases_at_once_are_429_and_retried(world):
    # PROV-05: one at a time. While the database is held, the first is under way.
    client = world.client("numbers")
    begin = client.begin_search_available_phone_numbers
    found = [await finished(begin, *SEARCH, polling_interval=0) for _ in range(2)]
    seen = []
    async with held_database() as let_go:

        def hook(answer):
            seen.append(answer.http_response.status_code)
            if 429 in seen:
                let_go()

        async def purchase(search):
            # The sync client waits in a thread of its own.
            call = client.begin_purchase_phone_numbers
            options = {"raw_response_hook": hook, "polling_interval": 0}
            begun = await done(await asyncio.to_thread(call, search.search_id, **options))
            await done(await asyncio.to_thread(begun.result))

        await asyncio.gather(*map(purchase, found))
    assert seen.count(202) == 2 and 429 in seen and set(seen) <= {200, 202, 429}, seen
    for search in found:
        assert await done(client.get_purchased_phone_number(search.phone_numbers[0]))


async def searches_beyond_the_quota_are_403(world):
    # PROV-05. It is not 429: nobody waits a week. Two searches were made above.
    begin = world.client("numbers").begin_search_available_phone_numbers
    for _ in range(SEARCHES_A_WEEK - 2):
        await finished(begin, *SEARCH, polling_interval=0)
    await refused(403, "QuotaExceeded", HttpResponseError, begin, *SEARCH)


CHECKS = [
    busy_database_is_503_and_retried,
    purchases_at_once_are_429_and_retried,
    searches_beyond_the_quota_are_403,
]
