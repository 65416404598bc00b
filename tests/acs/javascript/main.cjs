// Runs one area of checks with the official JavaScript clients: main.cjs AREA.
"use strict";

// The clients ask for Node.js 20. Debian 12 has 18, which lacks nothing of it but this.
globalThis.crypto ??= require("node:crypto").webcrypto;

const { run } = require("./checks.cjs");

run(require(`./area_${process.argv[2]}.cjs`)).then((good) => {
  process.exitCode = good ? 0 : 1;
});
