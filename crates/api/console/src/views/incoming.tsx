import { useEffect, useRef } from "preact/hooks";
import { phone } from "../session";
import type { Call } from "../sip/call";
import { pretty } from "../ui";

/** Calls that ring, on whatever page one is. */
export function IncomingCalls({ show }: { show: () => void }) {
  const ringing = phone.value?.active().filter((call) => call.state.value === "ringing") ?? [];
  useEffect(() => {
    document.title = ringing[0] ? `${pretty(ringing[0].who)} is calling` : "Trunkline";
  }, [ringing[0]]);
  return (
    <div class="incoming" aria-live="assertive">
      {ringing.map((call) => (
        <Ringing key={call.id} call={call} show={show} />
      ))}
    </div>
  );
}

function Ringing({ call, show }: { call: Call; show: () => void }) {
  const answer = useRef<HTMLButtonElement>(null);
  useEffect(() => answer.current?.focus(), []);
  return (
    <div class="card popup" role="alertdialog" aria-label={`${pretty(call.who)} is calling`}>
      <p>
        <strong>{pretty(call.who)}</strong> is calling
      </p>
      <div class="actions">
        <button
          ref={answer}
          type="button"
          class="call"
          onClick={() => {
            call.answer();
            show();
          }}
        >
          Answer
        </button>
        <button type="button" class="hangup" onClick={() => call.end()}>
          Decline
        </button>
      </div>
    </div>
  );
}
