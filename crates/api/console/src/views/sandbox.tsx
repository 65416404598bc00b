import { useState } from "preact/hooks";
import { Card, Trouble } from "../ui";

/** What the sandbox carrier does with each number; only the last four digits count. */
const MAGIC: readonly [number: string, does: string][] = [
  ["+14255550100", "echoes what you say"],
  ["+14255550101", "plays an announcement"],
  ["+14255550102", "digit menu: press keys, hear them; # ends"],
  ["+14255550106", "early media, then an echo"],
  ["+14255550109", "a tone of 1 kHz"],
  ["+14255550110", "calls you back"],
  ["+14255550125", "hangs up after five seconds"],
  ["+14255550103", "busy"],
  ["+14255550104", "declines"],
  ["+14255550105", "no answer"],
  ["+14255550108", "fails with 503"],
];

export function Sandbox({ dial }: { dial: (number: string) => unknown }) {
  const [trouble, setTrouble] = useState("");
  return (
    <Card title="Numbers of the sandbox">
      <p class="hint">Where the gateway runs with the sandbox carrier, these answer in their own ways.</p>
      <Trouble text={trouble} />
      <ul class="list">
        {MAGIC.map(([number, does]) => (
          <li key={number}>
            <button
              type="button"
              onClick={() => {
                try {
                  dial(number);
                } catch (error) {
                  setTrouble(error instanceof Error ? error.message : String(error));
                }
              }}
            >
              <strong>{number}</strong> {does}
            </button>
          </li>
        ))}
      </ul>
    </Card>
  );
}
