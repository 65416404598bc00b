import { useEffect, useRef, useState } from "preact/hooks";
import { phone } from "../session";
import type { Call } from "../sip/call";
import { Card, Plot, Trouble, clock, pretty, useAction, useNow } from "../ui";
import { Devices, speaker } from "./devices";
import { Meter } from "./meter";
import { Sandbox } from "./sandbox";

const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];

export function Softphone() {
  const mine = phone.value;
  const [number, setNumber] = useState("");
  const [trouble, setTrouble] = useState("");
  if (!mine) return <></>;
  const active = mine.active();
  const talking = active.find((call) => call.state.value === "active");
  const press = (key: string) => {
    if (talking) talking.digit(key);
    else setNumber((before) => before + key);
  };
  const dial = () => {
    setTrouble("");
    try {
      mine.dial(number);
      setNumber("");
    } catch (error) {
      setTrouble(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <div class="columns">
      <Card title="Dial">
        <Status />
        <form
          class="dial"
          onSubmit={(event) => {
            event.preventDefault();
            if (number.trim()) dial();
          }}
        >
          <label for="number" class="sr-only">
            Number or user
          </label>
          <input
            id="number"
            inputMode="tel"
            autocomplete="off"
            placeholder="+1 425 555 0100"
            value={number}
            onInput={(event) => setNumber(event.currentTarget.value)}
          />
          <button type="submit" class="call" disabled={!number.trim()}>
            Call
          </button>
        </form>
        <Trouble text={trouble} />
        <div class="pad" role="group" aria-label={talking ? "Send digits" : "Dial pad"}>
          {KEYS.map((key) => (
            <button key={key} type="button" onClick={() => press(key)}>
              {key}
            </button>
          ))}
        </div>
        <Devices call={talking ?? null} />
      </Card>
      <div class="stack">
        {active.map((call) => (
          <ActiveCall key={call.id} call={call} />
        ))}
        {active.length === 0 && <Sandbox dial={(target) => mine.dial(target)} />}
      </div>
    </div>
  );
}

function Status() {
  const mine = phone.value;
  if (!mine) return null;
  const registration = mine.registration.value;
  return (
    <>
      <p class={`status ${registration}`} role="status">
        {registration === "registered" ? "Ready: calls ring here" : registration === "connecting" ? "Connecting…" : "Not ready"}
      </p>
      <Trouble text={mine.trouble.value} />
    </>
  );
}

const SAID: Record<string, string> = {
  ringing: "is calling",
  dialling: "calling…",
  early: "ringing…",
  active: "talking",
  held: "on hold",
};

function ActiveCall({ call }: { call: Call }) {
  const now = useNow();
  const [target, setTarget] = useState("");
  const [busy, trouble, act] = useAction();
  const state = call.state.value;
  const answered = call.answeredAt.value;
  const points = call.quality.value;
  return (
    <Card title={pretty(call.who)}>
      <Audio call={call} />
      <p class="state" role="status">
        {SAID[state]} {answered && <time>{clock((now - answered.getTime()) / 1000)}</time>}
      </p>
      <div class="actions">
        {state === "ringing" && (
          <button type="button" class="call" onClick={() => call.answer()}>
            Answer
          </button>
        )}
        {answered && (
          <>
            <button type="button" aria-pressed={call.muted.value} onClick={() => call.toggleMute()}>
              {call.muted.value ? "Unmute" : "Mute"}
            </button>
            <button type="button" aria-pressed={state === "held"} onClick={() => call.toggleHold()}>
              {state === "held" ? "Resume" : "Hold"}
            </button>
          </>
        )}
        <button type="button" class="hangup" onClick={() => call.end()}>
          {state === "ringing" ? "Decline" : "Hang up"}
        </button>
      </div>
      {answered && (
        <>
          <Meter title="You" stream={call.local.value} />
          <Meter title="They" stream={call.remote.value} />
          <form
            class="dial"
            onSubmit={(event) => {
              event.preventDefault();
              act(() => call.transfer(target));
            }}
          >
            <label for={`transfer-${call.id}`} class="sr-only">
              Transfer to
            </label>
            <input
              id={`transfer-${call.id}`}
              placeholder="Transfer to"
              value={target}
              onInput={(event) => setTarget(event.currentTarget.value)}
            />
            <button type="submit" disabled={busy || !target.trim()}>
              Transfer
            </button>
          </form>
          <Trouble text={trouble} />
          <div class="plots">
            <Plot title="Loss" unit="%" top={5} digits={1} values={points.map((point) => point.loss * 100)} />
            <Plot title="Jitter" unit="ms" top={20} values={points.map((point) => point.jitterMs)} />
          </div>
          <p class="hint">{points.at(-1)?.codec}</p>
        </>
      )}
    </Card>
  );
}

/** The loudspeaker of one call. */
function Audio({ call }: { call: Call }) {
  const element = useRef<HTMLAudioElement>(null);
  const stream = call.remote.value;
  const device = speaker.value;
  useEffect(() => {
    const audio = element.current as (HTMLAudioElement & { setSinkId?: (id: string) => Promise<void> }) | null;
    if (!audio) return;
    audio.srcObject = stream;
    // Not every browser lets a page choose; the default device is used there.
    void audio.setSinkId?.(device).catch(() => undefined);
    void audio.play().catch(() => undefined);
  }, [stream, device]);
  return <audio ref={element} autoplay />;
}
