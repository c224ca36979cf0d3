// A websocket of its own to the daemon that served this page, whatever path it was served under.

import { PROTOCOL } from "./protocol";

export function openSocket(): WebSocket {
  const address = new URL("v1", document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  address.hash = address.search = "";
  const socket = new WebSocket(address, [PROTOCOL]);
  socket.binaryType = "arraybuffer";
  return socket;
}
