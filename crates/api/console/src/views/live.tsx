import { useEffect, useState } from "preact/hooks";
import { type Leg, type LiveCall, liveCalls } from "../rest/console";
import { owner } from "../session";
import { Card, Plot, Trouble, clock, pretty, useNow } from "../ui";

const LOOK_MS = 2000;
/** Points of a plot: ten minutes. */
const POINTS_MAX = 300;

/** What was seen of each leg, by call and side. */
type Seen = ReadonlyMap<string, readonly Leg[]>;

/** The calls that are up now, with what the network does to each leg. */
export function LiveCalls() {
  const key = owner.value;
  const now = useNow();
  const [calls, setCalls] = useState<readonly LiveCall[] | null>(null);
  const [seen, setSeen] = useState<Seen>(new Map());
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    if (!key) return undefined;
    let stopped = false;
    const look = async () => {
      try {
        const next = await liveCalls(key);
        if (stopped) return;
        setCalls(next);
        setSeen((before) => add(before, next));
        setTrouble("");
      } catch (error) {
        if (!stopped) setTrouble(error instanceof Error ? error.message : String(error));
      }
    };
    void look();
    const timer = setInterval(() => void look(), LOOK_MS);
    return () => {
      stopped = true;
      clearInterval(timer);
    };
  }, [key]);
  return (
    <div class="stack">
      <Trouble text={trouble} />
      {calls?.length === 0 && (
        <Card title="Live calls">
          <p class="hint">No call is up.</p>
        </Card>
      )}
      {calls?.map((call) => (
        <Card key={call.id} title={`${pretty(call.from)} → ${pretty(call.to)}`}>
          <p class="state">
            {call.answeredAt
              ? `talking for ${clock((now - Date.parse(call.answeredAt)) / 1000)}`
              : `ringing for ${clock((now - Date.parse(call.startedAt)) / 1000)}`}
          </p>
          {call.legs.map((leg) => (
            <LegPlots key={leg.side} leg={leg} points={seen.get(`${call.id} ${leg.side}`) ?? []} />
          ))}
        </Card>
      ))}
    </div>
  );
}

function LegPlots({ leg, points }: { leg: Leg; points: readonly Leg[] }) {
  return (
    <div class="plots" role="group" aria-label={`${leg.side} leg, ${leg.codec}`}>
      <p>
        <strong>{leg.side}</strong> <span class="hint">{leg.codec}</span>
      </p>
      <Plot title="Loss" unit="%" top={5} digits={1} values={lossPercent(points)} />
      <Plot title="Jitter" unit="ms" top={20} values={points.map((point) => point.jitterMs)} />
      <Plot title="MOS" unit="" top={5} digits={2} values={points.flatMap((point) => (point.mos === null ? [] : [point.mos]))} />
    </div>
  );
}

/** What was lost between each two looks, in percent of what should have come. */
export function lossPercent(points: readonly Leg[]): number[] {
  return points.slice(1).map((point, index) => {
    const before = points[index] ?? point;
    const [came, lost] = [point.packetsReceived - before.packetsReceived, point.packetsLost - before.packetsLost];
    return came + lost > 0 ? (Math.max(0, lost) / (came + lost)) * 100 : 0;
  });
}

function add(before: Seen, calls: readonly LiveCall[]): Seen {
  const next = new Map<string, readonly Leg[]>();
  for (const call of calls) {
    for (const leg of call.legs) {
      const name = `${call.id} ${leg.side}`;
      next.set(name, [...(before.get(name) ?? []), leg].slice(-POINTS_MAX));
    }
  }
  return next;
}
