"""A long-running purchase that fails, for the search has lapsed: here searches live for seconds."""

import time
from datetime import datetime, timezone

from azure.communication.phonenumbers import PhoneNumberCapabilities
from azure.core.exceptions import HttpResponseError, ResourceExistsError

from checks import done, finished, listed, refused

SEARCH = ("US", "geographic", "application", PhoneNumberCapabilities(calling="outbound", sms="none"))


def wait_until(moment: datetime):
    """Until the clock, which is the server's too, has passed it."""
    while datetime.now(timezone.utc) <= moment:
        time.sleep(0.05)


async def purchase_that_fails(world):
    client = world.client("numbers")
    found = await finished(client.begin_search_available_phone_numbers, *SEARCH, polling_interval=0)
    wait_until(found.search_expires_by)
    poller = await done(client.begin_purchase_phone_numbers(found.search_id, polling_interval=0))
    try:
        await done(poller.result())
    except HttpResponseError as error:
        assert "ReservationExpired" in str(error), error
    else:
        raise AssertionError("the purchase did not fail")
    assert await listed(client.list_purchased_phone_numbers()) == []


async def lapsed_reservation_is_409(world):
    client = world.client("numbers")
    browse = client.browse_available_phone_numbers
    found = await done(browse(country_code="US", phone_number_type="tollFree"))
    id = "00000000-0000-4000-8000-000000000001"
    change = client.create_or_update_reservation
    made = await done(change(reservation_id=id, numbers_to_add=found.phone_numbers[:1]))
    wait_until(made.expires_at)
    assert (await done(client.get_reservation(id))).status == "expired"
    numbers = {"reservation_id": id, "numbers_to_add": found.phone_numbers[1:2]}
    await refused(409, "ReservationExpired", ResourceExistsError, change, **numbers)


CHECKS = [purchase_that_fails, lapsed_reservation_is_409]
