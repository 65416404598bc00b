import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  // The binary carries what is built: few files, and nothing loaded from elsewhere.
  build: { target: "es2022", modulePreload: { polyfill: false } },
  define: { "process.env.DEBUG": "undefined" },
  test: { include: ["src/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);
