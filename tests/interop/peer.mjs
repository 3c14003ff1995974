// A participant on livekit-client in headless Chromium, for interop tests.
//
//     node peer.mjs URL TOKEN [--tone HZ] [--no-audio] [--no-video] [--answer]
//
// Prints and obeys what peer.py does; see README.md in this folder. MODULES names the folder that npm installed into.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";

// Node 18 has no import.meta.dirname.
const here = dirname(fileURLToPath(import.meta.url));
const modules = process.env.MODULES ?? join(here, "../../target/interop/node/node_modules");

const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const flag = (name) => process.argv.includes(name);
const value = (name, otherwise) => (flag(name) ? process.argv[process.argv.indexOf(name) + 1] : otherwise);

const served = {
  "/": [join(here, "page.html"), "text/html"],
  "/livekit-client.umd.js": [join(modules, "livekit-client/dist/livekit-client.umd.js"), "text/javascript"],
};
const server = createServer(async (request, response) => {
  const [path, type] = served[request.url] ?? [];
  if (!path) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": type }).end(await readFile(path));
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));

const browser = await launch(modules, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream");

async function finish(code) {
  await browser.close();
  server.close();
  process.exit(code);
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve) => (made.resolve = resolve));
  return made;
}

let over = false;
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => tell({ event: "failed", error: String(error) }));
  page.on("console", (message) => process.stderr.write(message.text() + "\n"));
  const left = deferred();
  await page.exposeFunction("tell", (line) => {
    tell(line);
    over ||= line.event === "disconnected";
    if (over) left.resolve();
  });
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => window.act);
  const [given, token] = process.argv.slice(2);
  const access = flag("--answer")
    ? await page.evaluate(([server, token]) => window.answer(server, token), [given, token])
    : { url: given, token };
  await page.evaluate((options) => window.join(options), {
    url: access.url,
    token: access.token,
    tone: Number(value("--tone", "440")),
    audio: !flag("--no-audio"),
    video: !flag("--no-video"),
  });
  const commands = createInterface({ input: process.stdin });
  commands.on("line", (line) => {
    page
      .evaluate((command) => window.act(command), JSON.parse(line))
      .catch((error) => over || tell({ event: "failed", error: String(error) }));
  });
  commands.on("close", () => page.evaluate(() => window.act({ do: "leave" })).catch(() => finish(0)));
  await left.promise;
  await finish(0);
} catch (error) {
  tell({ event: "failed", error: String(error) });
  await finish(1);
}
