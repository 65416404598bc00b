import { useEffect, useState } from "preact/hooks";
import { assign, assignments, ruling, type Ruling } from "../rest/console";
import * as numbers from "../rest/numbers";
import type { AccessKey } from "../rest/signature";
import { owner } from "../session";
import { Card, Trouble, money, pretty, useAction } from "../ui";

/** Numbers of the resource, and those that can be bought. */
export function Numbers() {
  const key = owner.value;
  const [mine, setMine] = useState<readonly numbers.Owned[] | null>(null);
  const [users, setUsers] = useState<Record<string, string>>({});
  const [busy, trouble, act] = useAction();
  const refresh = async () => {
    if (!key) return;
    setMine(await numbers.owned(key));
    setUsers(await assignments(key));
  };
  useEffect(() => act(refresh), [key]);
  if (!key) return <></>;
  const change = (work: () => Promise<void>) => act(async () => {
    await work();
    await refresh();
  });
  return (
    <div class="stack">
      <Card title="Your numbers">
        <Trouble text={trouble} />
        {mine?.length === 0 && <p class="hint">None yet. Find one beside this, and buy it.</p>}
        {mine && mine.length > 0 && (
          <div class="scroll">
            <table>
              <thead>
                <tr>
                  <th scope="col">Number</th>
                  <th scope="col">Calls</th>
                  <th scope="col">Texts</th>
                  <th scope="col">Monthly</th>
                  <th scope="col">Rings</th>
                  <th scope="col">Actions</th>
                </tr>
              </thead>
              <tbody>
                {mine.map((number) => (
                  <Row
                    key={number.id}
                    number={number}
                    user={users[number.phoneNumber] ?? ""}
                    busy={busy}
                    capabilities={(wanted) => change(() => numbers.setCapabilities(key, number.phoneNumber, wanted))}
                    assign={(user) => change(() => assign(key, number.phoneNumber, user || null))}
                    release={() => change(() => numbers.release(key, number.phoneNumber))}
                  />
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Card>
      <Find accessKey={key} bought={() => act(refresh)} />
    </div>
  );
}

interface RowProps {
  number: numbers.Owned;
  user: string;
  busy: boolean;
  capabilities: (wanted: numbers.Capabilities) => void;
  assign: (user: string) => void;
  release: () => void;
}

const CAPABILITIES: readonly numbers.Capability[] = ["none", "inbound", "outbound", "inbound+outbound"];

function Row({ number, user, busy, capabilities, assign: rings, release }: RowProps) {
  const [typed, setTyped] = useState(user);
  useEffect(() => setTyped(user), [user]);
  const name = pretty(number.phoneNumber);
  const choice = (of: keyof numbers.Capabilities, title: string) => (
    <select
      aria-label={`${title} of ${name}`}
      disabled={busy}
      value={number.capabilities[of]}
      onChange={(event) =>
        capabilities({ ...number.capabilities, [of]: event.currentTarget.value as numbers.Capability })
      }
    >
      {CAPABILITIES.map((capability) => (
        <option key={capability}>{capability}</option>
      ))}
    </select>
  );
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>{choice("calling", "Calls")}</td>
      <td>{choice("sms", "Texts")}</td>
      <td>{money(number.cost.amount, number.cost.currencyCode)}</td>
      <td>
        <input
          class="small"
          aria-label={`User that ${name} rings`}
          placeholder="8:acs:… (a user)"
          value={typed}
          disabled={busy}
          onInput={(event) => setTyped(event.currentTarget.value)}
          onChange={(event) => rings(event.currentTarget.value.trim())}
        />
      </td>
      <td>
        <button
          type="button"
          class="hangup small"
          disabled={busy}
          onClick={() => {
            if (confirm(`Release ${name}? Calls and texts to it are refused from then on.`)) release();
          }}
        >
          Release
        </button>
      </td>
    </tr>
  );
}

function Find({ accessKey, bought }: { accessKey: AccessKey; bought: () => void }) {
  const [country, setCountry] = useState("US");
  const [type, setType] = useState<numbers.NumberType>("geographic");
  const [prefix, setPrefix] = useState("");
  const [sms, setSms] = useState(false);
  const [found, setFound] = useState<readonly numbers.Available[] | null>(null);
  const [rule, setRule] = useState<Ruling | null>(null);
  const [busy, trouble, act] = useAction();
  const capabilities: numbers.Capabilities = { calling: "inbound+outbound", sms: sms ? "inbound+outbound" : "none" };
  const look = async () => {
    setFound(null);
    setRule(await ruling(accessKey, country, type, capabilities.calling, capabilities.sms));
    setFound(await numbers.browse(accessKey, { country, type, prefix: prefix.replace(/\D/g, ""), capabilities }));
  };
  return (
    <Card title="Find a number">
      <form
        class="grid"
        onSubmit={(event) => {
          event.preventDefault();
          act(look);
        }}
      >
        <label>
          Country
          <select value={country} onChange={(event) => setCountry(event.currentTarget.value)}>
            <option value="US">United States</option>
            <option value="CA">Canada</option>
          </select>
        </label>
        <label>
          Type
          <select value={type} onChange={(event) => setType(event.currentTarget.value as numbers.NumberType)}>
            <option value="geographic">Local</option>
            <option value="tollFree">Toll-free</option>
          </select>
        </label>
        <label>
          Begins with
          <input
            inputMode="numeric"
            placeholder="area code or more"
            value={prefix}
            onInput={(event) => setPrefix(event.currentTarget.value)}
          />
        </label>
        <label class="check">
          <input type="checkbox" checked={sms} onChange={(event) => setSms(event.currentTarget.checked)} /> with texts
        </label>
        <button type="submit" class="primary" disabled={busy}>
          Search
        </button>
      </form>
      <Trouble text={trouble} />
      {rule && <Why ruling={rule} />}
      {found?.length === 0 && <p class="hint">No such number is free.</p>}
      <ul class="list">
        {found?.map((number) => (
          <li key={number.id} class="offer">
            <strong>{pretty(number.phoneNumber)}</strong>
            <span>{money(number.cost.amount, number.cost.currencyCode)} a month</span>
            <button
              type="button"
              class="call small"
              disabled={busy}
              aria-label={`Buy ${pretty(number.phoneNumber)}`}
              onClick={() =>
                act(async () => {
                  await numbers.buy(accessKey, number);
                  setFound((before) => before?.filter((one) => one.id !== number.id) ?? null);
                  bought();
                })
              }
            >
              Buy
            </button>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** Which rules decided that such a number may be had, or may not. */
function Why({ ruling: { allowed, path } }: { ruling: Ruling }) {
  return (
    <details open={!allowed}>
      <summary>{allowed ? "You may have such a number" : "You may not have such a number"}</summary>
      <ol class="rules">
        {path.map((step, index) => (
          <li key={index}>
            <code>{step.rule}</code> {step.outcome}
          </li>
        ))}
      </ol>
    </details>
  );
}
