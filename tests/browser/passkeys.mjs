// Passkeys in a real browser with its virtual authenticator (WebDriver extension of W3C Web Authentication), against a whole
// deployment: set up on the account page and at sign-in, used alone, after the password and on a page that asks anew; by
// keyboard, on a phone, in both languages, and what is left without JavaScript.
//   node tests/browser/passkeys.mjs BUILD [SCREENSHOTS]
import { execFileSync } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import assert from "node:assert/strict";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import tls from "node:tls";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const build = path.resolve(process.argv[2] ?? "build");
const shots = process.argv[3];
if (shots) mkdirSync(shots, { recursive: true });
const directory = mkdtempSync(path.join(process.env.TMPDIR ?? os.tmpdir(), "mgp"));
const freePort = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});
const [https, http] = await Promise.all([freePort(), freePort()]);
const password = "correct horse battery staple";
const masugata = (words, input) => execFileSync(path.join(build, "masugata"), [...words, "--dir", directory, "--lang", "en"],
  { encoding: "utf8", input, stdio: ["pipe", "pipe", "pipe"] });
const at = (host, rest = "/") => `https://${host}.localhost:${https}${rest}`;
const id = (rest) => at("id.acme", rest);
const user = (login, roles = "user") => masugata(["user", "add", login, "--tenant", "acme", "--name", login.split("@")[0],
  "--email", login, "--roles", roles, "--password-stdin"], password);
const policy = (text) => masugata(["tenant", "policy", "acme", "--file", "-"], text);

let passed = 0, failed = 0;
async function check(name, run) {
  try {
    await run();
    passed++;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}

// A certificate that is not to be trusted switches passkeys off in the browser, so this one is, by its key.
const keyOf = (host) => new Promise((resolve, reject) => {
  const socket = tls.connect({ host: "127.0.0.1", port: https, servername: `${host}.localhost`, rejectUnauthorized: false }, () => {
    const key = new X509Certificate(socket.getPeerCertificate().raw).publicKey.export({ type: "spki", format: "der" });
    socket.end();
    resolve(createHash("sha256").update(key).digest("base64"));
  });
  socket.on("error", reject);
});

async function person(browser, { language = "en-US", phone = false, scripts = true, scheme = "light" } = {}) {
  const context = await browser.newContext({ locale: language, colorScheme: scheme, javaScriptEnabled: scripts,
    viewport: phone ? { width: 375, height: 740 } : { width: 1200, height: 800 } });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => { if (message.type() === "error" && !/status of (4|5)/.test(message.text())) complaints.push(message.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  const device = await context.newCDPSession(page);
  await device.send("WebAuthn.enable");
  const { authenticatorId } = await device.send("WebAuthn.addVirtualAuthenticator", { options: { protocol: "ctap2", ctap2Version: "ctap2_1",
    transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true,
    defaultBackupEligibility: true, defaultBackupState: true } });
  return { context, page, complaints, device, authenticatorId, end: async () => {
    assert.deepEqual(complaints, []);
    await context.close();
  } };
}

async function look(page, name) {
  if (shots) await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
  const results = await page.evaluate(`${axe}; axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })`);
  assert.deepEqual(results.violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join("; ")}`), []);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth), "no sideways scrolling");
}

async function byPassword(page, login, where = id("/sign-in")) {
  await page.goto(where);
  await page.fill("#login", login);
  await page.fill("#password", password);
  await page.press("#password", "Enter");
  await page.waitForLoadState();
}

chmodSync(directory, 0o711);
writeFileSync(path.join(directory, "masugata.conf"), `tls.profile = "aes256"\ngate.https_port = ${https}\ngate.http_port = ${http}\n`);
let browser;
try {
  masugata(["up", "--detach"]);
  masugata(["tenant", "add", "acme", "--label", "株式会社アクメ", "--upstream", "example:notes", "--wait"]);
  for (const login of ["hana@acme.example", "ken@acme.example", "mio@acme.example", "rei@acme.example"]) user(login);
  let keys;
  for (let tries = 0; keys === undefined; tries++)
    keys = await Promise.all(["id.acme", "acme"].map(keyOf)).catch((error) => { if (tries > 100) throw error; return new Promise((resolve) => setTimeout(resolve, 100, undefined)); });
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", `--ignore-certificate-errors-spki-list=${keys.join(",")}`] });

  for (const [language, phone, scheme, login, texts] of [
    ["ja-JP", true, "light", "hana@acme.example", { add: "パスキーを追加", alone: "パスワードなしのサインイン", button: "パスキーでサインイン" }],
    ["en-US", false, "dark", "ken@acme.example", { add: "Add a passkey", alone: "without the password", button: "Sign in with a passkey" }],
  ]) {
    const label = `${language.slice(0, 2)}-${phone ? "phone" : "desk"}`;
    await check(`set up, used alone, after the password, and anew ${label}`, async () => {
      const { page, end, device, authenticatorId } = await person(browser, { language, phone, scheme });
      await byPassword(page, login);
      await page.waitForURL(id("/account"));
      await page.goto(id("/factors"));
      await page.getByRole("link", { name: texts.add }).click();
      await page.waitForURL(id("/factors/passkey"));
      assert.equal(await page.evaluate(() => document.activeElement.id), "name");
      await look(page, `factor-passkey-${label}`);
      // A finger that is not known: nothing happens, the page says so, and one can go on.
      await device.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
      await page.fill("#name", "my laptop");
      await page.keyboard.press("Enter");
      await page.locator("[data-passkey-says]:not([hidden]), .codes").first().waitFor();
      if (await page.locator(".codes").count() === 0) {
        await look(page, `factor-passkey-cancelled-${label}`);
        await device.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: true });
        await page.locator("form.passkey button").press("Enter");
        await page.locator(".codes").waitFor();
      }
      await device.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: true });
      assert.equal(await page.locator(".codes li").count(), 10);
      await page.click("a.primary");
      await page.waitForURL(id("/factors?done=added"));
      await page.getByText("my laptop").waitFor();
      await page.getByText(texts.alone).waitFor();
      await look(page, `factors-${label}`);
      // Set up twice is told.
      await page.goto(id("/factors/passkey"));
      await page.locator("form.passkey button").click();
      await page.locator("[data-passkey-says]:not([hidden])").waitFor();
      // Alone, by keyboard, to where one wanted to go.
      await page.goto(id("/sign-out"));
      await page.locator("main form button").first().click();
      await page.waitForURL(id("/signed-out"));
      await page.addInitScript(() => {
        window.asked = [];
        const get = navigator.credentials.get.bind(navigator.credentials);
        navigator.credentials.get = (options) => { window.asked.push(options.mediation ?? "now"); return options.mediation ? new Promise((_, refuse) => options.signal.addEventListener("abort", () => refuse(options.signal.reason))) : get(options); };
      });
      await page.goto(id("/sign-in?return=%2Fpassword"));
      await look(page, `sign-in-${label}`);
      assert.equal(await page.getAttribute("#login", "autocomplete"), "username webauthn");
      await page.waitForFunction(() => window.asked.includes("conditional"));
      for (let i = 0; i < 12 && await page.evaluate(() => document.activeElement.textContent.trim()) !== texts.button; i++)
        await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      await page.waitForURL(id("/password"));
      // After the password.
      await page.goto(id("/sign-out"));
      await page.locator("main form button").first().click();
      await page.waitForURL(id("/signed-out"));
      await byPassword(page, login);
      assert.equal(new URL(page.url()).pathname, "/sign-in/second");
      await look(page, `second-${label}`);
      await page.locator("form.passkey button").click();
      await page.waitForURL(id("/account"));
      await end();
    });
  }

  await check("the browser's suggestion for the sign-in name signs in", async () => {
    const { page, end } = await person(browser);
    await byPassword(page, "mio@acme.example");
    await page.goto(id("/factors/passkey"));
    await page.locator("form.passkey button").click();
    await page.locator(".codes").waitFor();
    await page.goto(id("/sign-out"));
    await page.locator("main form button").first().click();
    await page.goto(id("/sign-in"));
    // The virtual authenticator takes the suggestion by itself.
    await page.waitForURL(id("/account"), { timeout: 8000 });
    await end();
  });

  await check("demanded at sign-in, set up there, and asked for on a page of the application", async () => {
    policy("second_factor = required\nroute \"/vault\" { second_factor = 6s }\n");
    const { page, end } = await person(browser, { language: "ja-JP" });
    await byPassword(page, "rei@acme.example", at("acme", "/"));
    assert.equal(new URL(page.url()).pathname, "/sign-in/enrol");
    await look(page, "enrol-ja-desk");
    await page.locator("form.passkey button").click();
    await page.locator(".codes").waitFor();
    await page.click("a.primary");
    await page.waitForURL(at("acme", "/"));
    await new Promise((resolve) => setTimeout(resolve, 7000));
    await page.goto(at("acme", "/vault"));
    assert.equal(new URL(page.url()).pathname, "/step-up");
    await look(page, "step-up-ja-desk");
    await page.locator("form.passkey button").click();
    await page.waitForURL(at("acme", "/vault"));
    await end();
    policy("");
  });

  await check("without JavaScript the page says so, and a recovery code works", async () => {
    const { page, end } = await person(browser, { phone: true, scripts: false });
    await byPassword(page, "rei@acme.example");
    assert.equal(new URL(page.url()).pathname, "/sign-in/second");
    assert.equal(await page.locator("form.passkey").isVisible(), false);
    assert.ok(await page.getByText("Passkeys need JavaScript").isVisible());
    assert.ok(await page.locator("#code").isVisible());
    if (shots) await page.screenshot({ path: path.join(shots, "second-without-scripts.png"), fullPage: true });
    await end();
  });

  await check("by passkey only", async () => {
    policy("sign_in.methods = \"passkey\"\n");
    user("yui@acme.example");
    const { page, end } = await person(browser, { language: "ja-JP", phone: true });
    await page.goto(id("/sign-in"));
    await look(page, "sign-in-passkey-only-ja-phone");
    await byPassword(page, "yui@acme.example");
    assert.equal(new URL(page.url()).pathname, "/sign-in/enrol");
    assert.equal(await page.locator("svg.qr").count(), 0);
    await look(page, "enrol-passkey-only-ja-phone");
    await page.locator("form.passkey button").click();
    await page.locator(".codes").waitFor();
    await end();
    policy("");
  });
} finally {
  await browser?.close();
  try { masugata(["down"]); } finally { rmSync(directory, { recursive: true, force: true }); }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
