import { useEffect, useState } from "preact/hooks";
import { type Text, texts } from "../rest/console";
import { owner } from "../session";
import { Card, Plot, Trouble, pretty } from "../ui";

const LOOK_MS = 3000;

/** Texts by conversation: our number and theirs. */
export function Messages() {
  const key = owner.value;
  const [all, setAll] = useState<readonly Text[]>([]);
  const [chosen, setChosen] = useState("");
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    if (!key) return undefined;
    const look = () =>
      void texts(key).then(
        (next) => {
          setAll(next);
          setTrouble("");
        },
        (error: unknown) => setTrouble(error instanceof Error ? error.message : String(error)),
      );
    look();
    const timer = setInterval(look, LOOK_MS);
    return () => clearInterval(timer);
  }, [key]);
  const conversations = Map.groupBy(all, (text) => conversation(text));
  const current = conversations.has(chosen) ? chosen : (conversations.keys().next().value ?? "");
  return (
    <div class="stack">
      <Trouble text={trouble} />
      <Card title="Traffic">
        <Plot title="Texts a minute, last hour" unit="" top={5} values={perMinute(all, Date.now())} />
      </Card>
      <div class="columns">
        <Card title="Conversations">
          {all.length === 0 && <p class="hint">No texts yet.</p>}
          <ul class="list">
            {[...conversations.keys()].map((name) => (
              <li key={name}>
                <button type="button" aria-current={name === current ? "true" : undefined} onClick={() => setChosen(name)}>
                  {name.split(" ").map(pretty).join(" ↔ ")}
                </button>
              </li>
            ))}
          </ul>
        </Card>
        {current && (
          <Card title={current.split(" ").map(pretty).join(" ↔ ")}>
            <ol class="bubbles">
              {(conversations.get(current) ?? []).toReversed().map((text) => (
                <li key={text.id} class={text.direction}>
                  <p>{text.body}</p>
                  <footer>
                    <time dateTime={text.at}>{new Date(text.at).toLocaleString()}</time> · {text.state}
                    {text.detail && ` (${text.detail})`} · {text.segments} segment{text.segments === 1 ? "" : "s"}
                    {text.carrier && ` · ${text.carrier}`}
                  </footer>
                </li>
              ))}
            </ol>
          </Card>
        )}
      </div>
    </div>
  );
}

/** Our number first, whoever wrote. */
function conversation(text: Text): string {
  return text.direction === "out" ? `${text.from} ${text.to}` : `${text.to} ${text.from}`;
}

/** How many texts each of the last sixty minutes had, the oldest first. */
export function perMinute(all: readonly Text[], now: number): number[] {
  const counts = new Array<number>(60).fill(0);
  for (const text of all) {
    const ago = Math.floor((now - Date.parse(text.at)) / 60_000);
    if (ago >= 0 && ago < 60) counts[59 - ago] = (counts[59 - ago] ?? 0) + 1;
  }
  return counts;
}
