import { render } from "preact";
import { App } from "./app";
import { signInFromAddress } from "./session";

signInFromAddress();
const root = document.getElementById("app");
if (root) render(<App />, root);
