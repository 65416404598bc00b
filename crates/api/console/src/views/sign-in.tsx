import { useState } from "preact/hooks";
import { owner, phone, signInOwner, signInUser } from "../session";
import { Card, Trouble, useAction } from "../ui";

export function SignIn({ done }: { done: () => void }) {
  return (
    <div class="columns">
      {!phone.value && (
        <Secret
          title="Phone"
          label="User access token"
          hint="Issued by the identity API, with the scope voip. Calls ring here while the page is open."
          button="Sign in to the phone"
          submit={async (text) => {
            signInUser(text);
            done();
          }}
        />
      )}
      {!owner.value && (
        <Secret
          title="Resource"
          label="Connection string or access key"
          hint="Shows numbers, live calls, texts and charges. The key stays in the memory of this page."
          button="Use the key"
          submit={async (text) => {
            await signInOwner(text);
            done();
          }}
        />
      )}
    </div>
  );
}

interface SecretProps {
  title: string;
  label: string;
  hint: string;
  button: string;
  submit: (text: string) => Promise<void>;
}

function Secret({ title, label, hint, button, submit }: SecretProps) {
  const [text, setText] = useState("");
  const [busy, trouble, act] = useAction();
  const id = `secret-${title.toLowerCase()}`;
  return (
    <Card title={title}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          act(() => submit(text));
        }}
      >
        <label for={id}>{label}</label>
        <input
          id={id}
          type="password"
          autocomplete="off"
          spellcheck={false}
          required
          value={text}
          aria-describedby={`${id}-hint`}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
        <Trouble text={trouble} />
        <button type="submit" class="primary" disabled={busy}>
          {button}
        </button>
      </form>
    </Card>
  );
}
