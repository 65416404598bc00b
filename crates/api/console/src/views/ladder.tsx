import { useState } from "preact/hooks";
import type { Step } from "../sip/trace";

const ROW = 34;
const [LEFT, RIGHT, WIDTH] = [90, 450, 540];

/** The messages of a call as arrows between two lines; choosing one shows it whole. */
export function Ladder({ steps }: { steps: readonly Step[] }) {
  const [chosen, setChosen] = useState(-1);
  const first = steps[0];
  if (!first) return <p class="hint">No messages were seen.</p>;
  const height = 46 + steps.length * ROW;
  const shown = steps[chosen];
  return (
    <>
      <svg class="ladder" viewBox={`0 0 ${WIDTH} ${height}`} role="list" aria-label="SIP messages in order">
        <defs>
          <marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse">
            <path d="M0 0 8 4 0 8z" fill="currentColor" />
          </marker>
        </defs>
        <text x={LEFT} y={18} text-anchor="middle">This browser</text>
        <text x={RIGHT} y={18} text-anchor="middle">Trunkline</text>
        <line class="life" x1={LEFT} x2={LEFT} y1={26} y2={height} />
        <line class="life" x1={RIGHT} x2={RIGHT} y1={26} y2={height} />
        {steps.map((step, index) => (
          <Arrow key={index} step={step} y={54 + index * ROW} after={step.at - first.at} choose={() => setChosen(index)} />
        ))}
      </svg>
      {shown && (
        <pre class="message" aria-label={`The message ${shown.label}`}>
          {shown.text}
        </pre>
      )}
    </>
  );
}

function Arrow(props: { step: Step; y: number; after: number; choose: () => void }) {
  const { step, y, after, choose } = props;
  const [from, to] = step.direction === "out" ? [LEFT, RIGHT] : [RIGHT, LEFT];
  const label = step.label === step.method ? step.label : `${step.label} (${step.method})`;
  const seconds = `${(after / 1000).toFixed(3)} s`;
  return (
    <g
      class="arrow"
      role="listitem"
      tabIndex={0}
      aria-label={`${seconds}, ${step.direction === "out" ? "sent" : "received"}: ${label}`}
      onClick={choose}
      onKeyDown={(event) => {
        if (event.key === "Enter" || event.key === " ") choose();
      }}
    >
      <rect x={0} y={y - 22} width={WIDTH} height={ROW} fill="transparent" />
      <text x={4} y={y + 4} class="time">{seconds}</text>
      <text x={(LEFT + RIGHT) / 2} y={y - 5} text-anchor="middle">{label}</text>
      <line x1={from} x2={to} y1={y} y2={y} stroke="currentColor" stroke-width="1.5" marker-end="url(#tip)" />
    </g>
  );
}
