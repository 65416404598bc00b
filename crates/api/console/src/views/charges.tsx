import { useEffect, useState } from "preact/hooks";
import { type Statement, statement } from "../rest/console";
import { owner } from "../session";
import { Card, Trouble, money, pretty, useAction } from "../ui";

/** What the resource owes for a month. */
export function Charges() {
  const key = owner.value;
  const [month, setMonth] = useState(new Date().toISOString().slice(0, 7));
  const [shown, setShown] = useState<Statement | null>(null);
  const [, trouble, act] = useAction();
  useEffect(() => {
    if (key) act(async () => setShown(await statement(key, month)));
  }, [key, month]);
  return (
    <Card title="Statement of charges">
      <label>
        Month (UTC)
        <input type="month" value={month} onChange={(event) => setMonth(event.currentTarget.value || month)} />
      </label>
      <Trouble text={trouble} />
      {shown && (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col">What</th>
                <th scope="col">Number</th>
                <th scope="col">Amount</th>
              </tr>
            </thead>
            <tbody>
              {shown.rows.map((row) => (
                <tr key={row.id}>
                  <td>{new Date(row.at).toLocaleString()}</td>
                  <td>
                    {row.kind} <span class="hint">{row.note}</span>
                  </td>
                  <td>{row.number ? pretty(row.number) : ""}</td>
                  <td class="amount">{money(row.amountMinor / 100, row.currency)}</td>
                </tr>
              ))}
              {shown.rows.length === 0 && (
                <tr>
                  <td colSpan={4} class="hint">
                    Nothing in this month.
                  </td>
                </tr>
              )}
            </tbody>
            <tfoot>
              {Object.entries(shown.totalsMinor).map(([currency, amount]) => (
                <tr key={currency}>
                  <th scope="row" colSpan={3}>
                    Total
                  </th>
                  <td class="amount">{money(amount / 100, currency)}</td>
                </tr>
              ))}
            </tfoot>
          </table>
        </div>
      )}
    </Card>
  );
}
