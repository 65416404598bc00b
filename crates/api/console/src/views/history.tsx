import { useState } from "preact/hooks";
import { phone } from "../session";
import type { Call } from "../sip/call";
import { traces } from "../sip/trace";
import { Card, clock, pretty } from "../ui";
import { Ladder } from "./ladder";

/** The calls of this page, and the SIP messages of the one that was chosen. */
export function History() {
  const calls = phone.value?.calls.value ?? [];
  const [chosen, setChosen] = useState("");
  const call = calls.find((one) => one.id === chosen) ?? calls[0];
  return (
    <div class="columns">
      <Card title="Calls">
        {calls.length === 0 && <p class="hint">No call yet since this page was opened.</p>}
        <ul class="list">
          {calls.map((one) => (
            <li key={one.id}>
              <button type="button" aria-current={one === call ? "true" : undefined} onClick={() => setChosen(one.id)}>
                <Line call={one} />
              </button>
            </li>
          ))}
        </ul>
      </Card>
      {call && (
        <Card title={`SIP messages of the call with ${pretty(call.who)}`}>
          <Ladder steps={traces.value.get(call.callId) ?? []} />
        </Card>
      )}
    </div>
  );
}

function Line({ call }: { call: Call }) {
  const [answered, ended] = [call.answeredAt.value, call.endedAt.value];
  const lasted = answered && ended ? clock((ended.getTime() - answered.getTime()) / 1000) : "";
  return (
    <>
      <span aria-hidden="true">{call.direction === "in" ? "↙" : "↗"}</span>{" "}
      <span class="sr-only">{call.direction === "in" ? "from" : "to"}</span> <strong>{pretty(call.who)}</strong>{" "}
      <time dateTime={call.startedAt.toISOString()}>{call.startedAt.toLocaleTimeString()}</time> {lasted}{" "}
      <span class="hint">{call.cause.value || call.state.value}</span>
    </>
  );
}
