#!/usr/bin/env python3
"""Derives data/npa.csv from the metadata of the PyPI package phonenumbers.

Usage: derive_npa.py            writes the table to standard output
       derive_npa.py --check F  exits 1 and shows the difference where F is not what would be written

Columns: area code, ISO country, kind, state or province (two letters, empty when unknown), time zone
(empty when the code spans several). Kinds: geographic, toll_free, premium, personal, non_geographic.
"""
import difflib
import sys

import phonenumbers
from phonenumbers import PhoneNumberType, geocoder, timezone

KINDS = {
    PhoneNumberType.FIXED_LINE: "geographic",
    PhoneNumberType.MOBILE: "geographic",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "geographic",
    PhoneNumberType.TOLL_FREE: "toll_free",
    PhoneNumberType.PREMIUM_RATE: "premium",
    PhoneNumberType.PERSONAL_NUMBER: "personal",
    PhoneNumberType.VOIP: "non_geographic",
}
# In 37X and 96X no code is assigned; 822, 880-887 and 889 are held back (NUM-06, NUM-07).
EXCHANGES = ["555", "234", "345", "222", "678", "456", "220", "720", "921", "331"]
STATES = {
    "Alabama": "AL", "Alaska": "AK", "Arizona": "AZ", "Arkansas": "AR", "California": "CA", "Colorado": "CO",
    "Connecticut": "CT", "Delaware": "DE", "Florida": "FL", "Georgia": "GA", "Hawaii": "HI", "Idaho": "ID",
    "Illinois": "IL", "Indiana": "IN", "Iowa": "IA", "Kansas": "KS", "Kentucky": "KY", "Louisiana": "LA",
    "Maine": "ME", "Maryland": "MD", "Massachusetts": "MA", "Michigan": "MI", "Minnesota": "MN",
    "Mississippi": "MS", "Missouri": "MO", "Montana": "MT", "Nebraska": "NE", "Nevada": "NV",
    "New Hampshire": "NH", "New Jersey": "NJ", "New Mexico": "NM", "New York": "NY", "North Carolina": "NC",
    "North Dakota": "ND", "Ohio": "OH", "Oklahoma": "OK", "Oregon": "OR", "Pennsylvania": "PA",
    "Rhode Island": "RI", "South Carolina": "SC", "South Dakota": "SD", "Tennessee": "TN", "Texas": "TX",
    "Utah": "UT", "Vermont": "VT", "Virginia": "VA", "Washington State": "WA", "Washington D.C.": "DC",
    "Washington": "WA", "West Virginia": "WV", "Wisconsin": "WI", "Wyoming": "WY",
    "Alberta": "AB", "British Columbia": "BC", "Manitoba": "MB", "New Brunswick": "NB",
    "Newfoundland and Labrador": "NL", "Nova Scotia": "NS", "Ontario": "ON", "Prince Edward Island": "PE",
    "Quebec": "QC", "Saskatchewan": "SK", "Northwest Territories": "NT", "Yukon": "YT", "Nunavut": "NU",
}


def region(text):
    """Returns the two letters of the state that a geocoder text names, or nothing."""
    if text in STATES:
        return STATES[text]
    tail = text.rsplit(", ", 1)[-1]
    return tail if tail in STATES.values() else STATES.get(tail, "")


def examples():
    """Returns a number of each country that shares code 1, for islands where few exchanges exist."""
    found = {}
    for country in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1]:
        number = phonenumbers.example_number_for_type(country, PhoneNumberType.FIXED_LINE)
        if number is not None:
            found.setdefault(int(str(number.national_number)[:3]), number)
    return found


EXAMPLES = examples()


def valid_number(npa):
    """Returns a number of the area code that the metadata calls valid, if there is one."""
    for exchange in EXCHANGES:
        candidate = phonenumbers.parse(f"+1{npa}{exchange}0123")
        if phonenumbers.is_valid_number(candidate):
            return candidate
    return EXAMPLES.get(npa)


def table():
    yield "npa,country,kind,region,time_zone"
    for npa in range(200, 1000):
        number = valid_number(npa)
        if number is None:
            continue
        kind = KINDS.get(phonenumbers.number_type(number), "geographic")
        country = phonenumbers.region_code_for_number(number)
        zones = timezone.time_zones_for_number(number) if kind == "geographic" else ()
        state = region(geocoder.description_for_number(number, "en")) if kind == "geographic" else ""
        yield ",".join([str(npa), country, kind, state, zones[0] if len(zones) == 1 else ""])


def main():
    lines = list(table())
    if sys.argv[1:2] != ["--check"]:
        print("\n".join(lines))
        return 0
    with open(sys.argv[2], encoding="utf8") as held:
        found = held.read().splitlines()
    difference = list(difflib.unified_diff(found, lines, sys.argv[2], "derived", lineterm="", n=0))
    print("\n".join(difference) or f"{len(lines) - 1} area codes agree with phonenumbers {phonenumbers.__version__}")
    return 1 if difference else 0


sys.exit(main())
