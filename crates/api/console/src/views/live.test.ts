import { expect, test } from "vitest";
import type { Leg } from "../rest/console";
import { lossPercent } from "./live";

test("loss is what was lost since the look before", () => {
  const leg = (packetsReceived: number, packetsLost: number): Leg => ({
    side: "caller", codec: "PCMU", packetsReceived, packetsLost, jitterMs: 1, mos: 4.2,
  });
  expect(lossPercent([])).toEqual([]);
  expect(lossPercent([leg(100, 0)])).toEqual([]);
  expect(lossPercent([leg(100, 0), leg(190, 10), leg(190, 10), leg(290, 10)])).toEqual([10, 0, 0]);
});
