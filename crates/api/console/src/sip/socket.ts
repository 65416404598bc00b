// JsSIP's WebSocket, with every message seen on its way.

import { WebSocketInterface } from "jssip";
import { record } from "./trace";

/** The `/sip` of the server that the page came from. */
export function sipSocket(): WebSocketInterface {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocketInterface(`${scheme}//${location.host}/sip`);
  const send = socket.send.bind(socket);
  socket.send = (message) => {
    if (typeof message === "string") record("out", message, Date.now());
    return send(message);
  };
  let ondata: (event: unknown) => void = () => undefined;
  Object.defineProperty(socket, "ondata", {
    get: () => (event: unknown) => {
      if (typeof event === "string") record("in", event, Date.now());
      ondata(event);
    },
    set: (handler: (event: unknown) => void) => {
      ondata = handler;
    },
  });
  return socket;
}
