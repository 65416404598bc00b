// What the official Event Grid library for JavaScript makes of deliveries: parse.cjs FILE, one delivery a line.
"use strict";

globalThis.crypto ??= require("node:crypto").webcrypto;

const assert = require("node:assert/strict");
const fs = require("node:fs");
const { EventGridDeserializer, isSystemEvent } = require("@azure/eventgrid");

const RECEIVED = "Microsoft.Communication.SMSReceived";
const REPORT = "Microsoft.Communication.SMSDeliveryReportReceived";

(async () => {
  const reader = new EventGridDeserializer();
  const told = [];
  for (const line of fs.readFileSync(process.argv[2], "utf8").split("\n").filter(Boolean)) {
    const { body, headers } = JSON.parse(line);
    if (headers["aeg-event-type"] !== "Notification") continue;
    const cloud = headers["content-type"].startsWith("application/cloudevents+json");
    const events = cloud ? await reader.deserializeCloudEvents(body) : await reader.deserializeEventGridEvents(body);
    assert.equal(events.length, 1);
    const [event] = events;
    const type = cloud ? event.type : event.eventType;
    assert.ok(isSystemEvent(type, event), type);
    assert.ok((cloud ? event.time : event.eventTime) instanceof Date);
    if (type === RECEIVED || type === REPORT) assert.ok(!Number.isNaN(Date.parse(event.data.receivedTimestamp)));
    if (type === REPORT) assert.equal(event.data.deliveryAttempts.length, 1);
    told.push({ type, id: event.id, schema: cloud ? "cloudevents" : "eventgrid", from: event.data.from, to: event.data.to });
  }
  console.log(JSON.stringify(told));
})();
