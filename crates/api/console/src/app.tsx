import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { owner, phone, signOutOwner, signOutUser } from "./session";
import { Charges } from "./views/charges";
import { History } from "./views/history";
import { IncomingCalls } from "./views/incoming";
import { LiveCalls } from "./views/live";
import { Messages } from "./views/messages";
import { Numbers } from "./views/numbers";
import { SignIn } from "./views/sign-in";
import { Softphone } from "./views/softphone";

interface Page {
  name: string;
  title: string;
  /** Who it is for. */
  of: "user" | "owner";
  view: () => JSX.Element;
}

const PAGES: readonly Page[] = [
  { name: "phone", title: "Phone", of: "user", view: Softphone },
  { name: "history", title: "History", of: "user", view: History },
  { name: "numbers", title: "Numbers", of: "owner", view: Numbers },
  { name: "calls", title: "Live calls", of: "owner", view: LiveCalls },
  { name: "messages", title: "Texts", of: "owner", view: Messages },
  { name: "charges", title: "Charges", of: "owner", view: Charges },
];

const current = signal("");

export function App() {
  const pages = PAGES.filter((page) => (page.of === "user" ? phone.value : owner.value));
  const page = pages.find((one) => one.name === current.value) ?? pages[0];
  const signingIn = current.value === "sign-in" || !page;
  return (
    <>
      <header>
        <span class="brand">
          <img src="./icon.svg" alt="" width="28" height="28" /> Trunkline
        </span>
        <nav aria-label="Pages">
          {pages.map((one) => (
            <button
              key={one.name}
              type="button"
              aria-current={!signingIn && one === page ? "page" : undefined}
              onClick={() => (current.value = one.name)}
            >
              {one.title}
            </button>
          ))}
        </nav>
        <Account />
      </header>
      <main>{signingIn ? <SignIn done={() => (current.value = "")} /> : <page.view />}</main>
      <IncomingCalls show={() => (current.value = "phone")} />
    </>
  );
}

function Account() {
  const [user, key] = [phone.value, owner.value];
  return (
    <div class="account">
      {(user === null) !== (key === null) && (
        <button type="button" class="quiet" onClick={() => (current.value = "sign-in")}>
          {user ? "Owner sign-in" : "Phone sign-in"}
        </button>
      )}
      {user && (
        <button type="button" class="quiet" onClick={signOutUser}>
          Sign out of the phone
        </button>
      )}
      {key && (
        <button type="button" class="quiet" onClick={signOutOwner}>
          Forget the key
        </button>
      )}
    </div>
  );
}
