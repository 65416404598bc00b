// Runs one area of checks with the official JavaScript clients: main.cjs AREA.
"use strict";

const { run } = require("./checks.cjs");

run(require(`./area_${process.argv[2]}.cjs`)).then((good) => {
  process.exitCode = good ? 0 : 1;
});
