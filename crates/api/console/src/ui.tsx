// Small parts that several views use.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

/** A `+14255550100` as people read it. */
export function pretty(number: string): string {
  const parts = /^\+1(\d{3})(\d{3})(\d{4})$/.exec(number);
  return parts ? `+1 (${parts[1]}) ${parts[2]}-${parts[3]}` : number;
}

export function money(amount: number, currency: string): string {
  return new Intl.NumberFormat(undefined, { style: "currency", currency }).format(amount);
}

export function clock(seconds: number): string {
  const [minutes, rest] = [Math.floor(seconds / 60), Math.floor(seconds % 60)];
  return `${minutes}:${String(rest).padStart(2, "0")}`;
}

/** The time, every second. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** What went wrong, said to screen readers at once. */
export function Trouble({ text }: { text: string }) {
  return text ? <p class="trouble" role="alert">{text}</p> : null;
}

/** A named part of a page. */
export function Card({ title, children, id }: { title: string; children: ComponentChildren; id?: string }) {
  return (
    <section class="card" aria-label={title} id={id}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** Runs what a button does, shows that it runs, and keeps what went wrong. */
export function useAction(): [busy: boolean, trouble: string, act: (work: () => Promise<void>) => void] {
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState("");
  const act = (work: () => Promise<void>) => {
    setBusy(true);
    setTrouble("");
    work()
      .catch((error: unknown) => setTrouble(error instanceof Error ? error.message : String(error)))
      .finally(() => setBusy(false));
  };
  return [busy, trouble, act];
}

/** A line over time, with its last value in words beside it. */
export function Plot(props: { title: string; values: readonly number[]; unit: string; top: number; digits?: number }) {
  const { title, values, unit, top, digits = 0 } = props;
  const [width, height] = [240, 48];
  const most = Math.max(top, ...values);
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  const points = values.map((value, index) => `${(index * step).toFixed(1)},${(height - (value / most) * height).toFixed(1)}`);
  const last = values.at(-1);
  const now = last === undefined ? "no value yet" : `${last.toFixed(digits)} ${unit}`;
  return (
    <figure class="plot">
      <figcaption>
        {title} <strong>{now}</strong>
      </figcaption>
      <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={`${title}, now ${now}`}>
        <polyline points={points.join(" ")} fill="none" stroke="currentColor" stroke-width="1.5" vector-effect="non-scaling-stroke" />
      </svg>
    </figure>
  );
}
