// The server's clock. That of the device that shows this page may be hours off, and ages go by the server's times.

let offset = 0; // milliseconds by which the device's clock is ahead

/** With each state: when it was received, and how old it was when it was sent, both by the server. */
export function setClock({ observedAt, ageSeconds }) {
  offset = Date.now() - Date.parse(observedAt) - ageSeconds * 1000;
}

/** Seconds since a time of the server. */
export function secondsSince(moment) {
  return (Date.now() - offset - Date.parse(moment)) / 1000;
}
