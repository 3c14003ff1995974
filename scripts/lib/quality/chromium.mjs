// Two participants of one session on livekit-client in headless Chromium: one sends a WAV and a Y4M file, the other writes
// down what came, and when. What scripts/quality measures Chromium with: as examples/traced_session.rs for our engine, with
// the same arguments, the same files and the same line on standard output.
//
//     node chromium.mjs SERVER SENDER-TOKEN RECEIVER-TOKEN SPEECH.wav CLIP.y4m VIDEO-KBPS FOLDER [unrecorded]
//
// MODULES names the folder that npm installed into.

import { createReadStream, createWriteStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { finished, pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { launch } from "../../../tests/interop/browser.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const [url, sender, receiver, speech, clip, kbps, folder, unrecorded] = process.argv.slice(2);

const served = {
  "/": [join(here, "page.html"), "text/html"],
  "/recorder.js": [join(here, "recorder.js"), "text/javascript"],
  "/livekit-client.umd.js": [join(process.env.MODULES, "livekit-client/dist/livekit-client.umd.js"), "text/javascript"],
  "/speech": [speech, "audio/wav"],
  "/clip": [clip, "application/octet-stream"],
};
const written = {
  "/heard": createWriteStream(join(folder, "heard.s16")),
  "/seen": createWriteStream(join(folder, "seen.luma")),
  "/page": createWriteStream(join(folder, "page.s16")),
};
const server = createServer(async (request, response) => {
  if (request.method === "POST" && written[request.url]) {
    for await (const chunk of request) written[request.url].write(chunk);
    return response.writeHead(204).end();
  }
  const [path, type] = served[request.url] ?? [];
  if (!path) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": type });
  await pipeline(createReadStream(path), response);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));

const browser = await launch(process.env.MODULES);

let status = 0;
try {
  const page = await browser.newPage();
  page.on("console", (message) => process.stderr.write(message.text() + "\n"));
  const failed = new Promise((_, reject) => page.on("pageerror", reject));
  await page.exposeFunction("tell", (line) => process.stdout.write(JSON.stringify(line) + "\n"));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => window.run);
  const over = finished(process.stdin.resume(), { writable: false });
  await Promise.race([failed, page.evaluate((options) => window.run(options), { url, sender, receiver, kbps: Number(kbps), recorded: !unrecorded })]);
  await Promise.race([failed, over]);
  const trace = await page.evaluate(() => window.stop());
  await writeFile(join(folder, "trace.json"), JSON.stringify(trace));
} catch (error) {
  process.stderr.write(`${error.stack}\n`);
  status = 1;
}
await browser.close();
await Promise.all(Object.values(written).map((file) => new Promise((done) => file.end(done))));
process.exit(status);
