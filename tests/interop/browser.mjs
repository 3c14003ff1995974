// Headless Chromium as tests and measurements start it: without what its background services would ask of the network.

import { createRequire } from "node:module";
import { join } from "node:path";

// `modules` is the folder that npm installed into.
export function launch(modules, ...args) {
  const { chromium } = createRequire(join(modules, "x.js"))("playwright-core");
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--autoplay-policy=no-user-gesture-required",
      ...args,
    ],
  });
}
