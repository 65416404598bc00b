"""What is refused for who asks or for what it says, and that the clients raise what they document for it."""

import os

from azure.communication.phonenumbers import PhoneNumberCapabilities
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)

from checks import done, listed, refused

CALLS = PhoneNumberCapabilities(calling="inbound+outbound", sms="none")
MESSAGES = PhoneNumberCapabilities(calling="outbound", sms="outbound")
NUMBER = "+12065550199"


async def search(status, code, kind, client, *asked, **options):
    return await refused(status, code, kind, client.begin_search_available_phone_numbers, *asked, **options)


async def another_key_is_401(world):
    endpoint, _, key = os.environ["TRUNKLINE_CONNECTION"].rpartition("accesskey=")
    # Well-formed, and of the right length, but not the key.
    wrong = f"{endpoint}accesskey={key[1:4]}{key[:1]}{key[4:]}"
    assert wrong != os.environ["TRUNKLINE_CONNECTION"]
    numbers = world.over("numbers", wrong)
    await refused(401, "Denied", ClientAuthenticationError, numbers.get_purchased_phone_number, NUMBER)
    identity = world.over("identity", wrong)
    await refused(401, "Denied", ClientAuthenticationError, identity.create_user)
    sip = world.over("sip", wrong)
    await refused(401, "Denied", ClientAuthenticationError, sip.get_trunk, "sbc1.contoso.com")
    try:
        await listed(numbers.list_purchased_phone_numbers())
    except ClientAuthenticationError:
        return
    raise AssertionError("a list was given to another key")


async def billing_country_that_is_not_eligible_is_403(world):
    client = world.client("numbers", "TRUNKLINE_CONNECTION_INELIGIBLE")
    asked = ("US", "tollFree", "application", CALLS)
    code = "BillingCountryNotEligible"
    await search(403, code, HttpResponseError, client, *asked)
    # The country comes from the billing record alone.
    await search(403, code, HttpResponseError, client, *asked, headers={"X-Country": "US", "Accept-Language": "en-US"})


async def number_of_nobody_is_404(world):
    client = world.client("numbers")
    await refused(404, "NotFound", ResourceNotFoundError, client.get_purchased_phone_number, NUMBER)
    await refused(404, "NotFound", ResourceNotFoundError, client.begin_release_phone_number, NUMBER)
    update = client.begin_update_phone_number_capabilities
    await refused(404, "NotFound", ResourceNotFoundError, update, NUMBER, calling="outbound")


async def country_that_is_not_offered_is_404(world):
    code = "NumberCountryNotOffered"
    await search(404, code, ResourceNotFoundError, world.client("numbers"), "CA", "geographic", "application", CALLS)


async def missing_emergency_address_is_409(world):
    # PROV-14: a person's number needs one before it can call.
    code = "EmergencyAddressRequired"
    await search(409, code, ResourceExistsError, world.client("numbers"), "US", "geographic", "person", CALLS)


async def what_is_not_offered_is_400(world):
    client = world.client("numbers")
    for code, type, assignment, capabilities, options in [
        ("CapabilityNotSupported", "geographic", "application", MESSAGES, {}),
        ("AssignmentTypeNotAllowed", "tollFree", "person", CALLS, {}),
        ("NumberTypeNotOffered", "mobile", "application", CALLS, {}),
        ("AreaCodeInvalid", "geographic", "application", CALLS, {"area_code": "416"}),
        ("AreaCodeInvalid", "geographic", "application", CALLS, {"area_code": "876"}),
        ("AreaCodeInvalid", "tollFree", "application", CALLS, {"area_code": "822"}),
        ("BadRequest", "geographic", "application", CALLS, {"quantity": 0}),
        ("BadRequest", "geographic", "application", CALLS, {"quantity": 11}),
    ]:
        await search(400, code, HttpResponseError, client, "US", type, assignment, capabilities, **options)


async def unknown_api_version_is_400(world):
    client = world.client("numbers", api_version="1999-01-01")
    code = "UnsupportedApiVersion"
    await refused(400, code, HttpResponseError, client.get_purchased_phone_number, NUMBER)


async def every_known_api_version_is_served(world):
    for version in ["2021-03-07", "2022-12-01", "2025-02-11", "2025-04-01", "2025-06-01"]:
        client = world.client("numbers", api_version=version)
        await refused(404, "NotFound", ResourceNotFoundError, client.get_purchased_phone_number, NUMBER)
    for version in ["2021-03-07", "2022-06-01", "2022-10-01", "2023-10-01"]:
        user = await done(world.client("identity", api_version=version).create_user())
        assert user.raw_id.startswith("8:acs:")


CHECKS = [
    another_key_is_401,
    billing_country_that_is_not_eligible_is_403,
    number_of_nobody_is_404,
    country_that_is_not_offered_is_404,
    missing_emergency_address_is_409,
    what_is_not_offered_is_400,
    unknown_api_version_is_400,
    every_known_api_version_is_served,
]
