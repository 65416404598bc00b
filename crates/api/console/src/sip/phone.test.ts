import { expect, test } from "vitest";
import { addressOf, dialled } from "./phone";

test("numbers are dialled as people write them", () => {
  for (const text of ["+14255550100", "4255550100", "(425) 555-0100", "1 425.555.0100", " +1 425 555 0100 "]) {
    expect(dialled(text), text).toBe("+14255550100");
  }
  expect(dialled("933")).toBe("933");
  expect(dialled("reception")).toBe("reception");
});

test("users are dialled by their raw id", () => {
  const user = "11111111-2222-4333-8444-555555555555_00000021-aaaa-bbbb-cccc-0123456789ab";
  expect(dialled(`8:acs:${user}`)).toBe(user);
  expect(addressOf(`8:acs:${user}`)).toBe(user);
});
