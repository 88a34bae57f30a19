// The demo in a real browser: `masugata up --demo` in an empty directory, two customers with the notes
// application, and Jupyter, which knows nothing of Masugata, over its WebSocket.
//   node tests/browser/demo.mjs BUILD [SCREENSHOTS]
import { execFileSync } from "node:child_process";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync, chmodSync, mkdirSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { App } from "./totp.mjs";

const build = path.resolve(process.argv[2] ?? "build");
const shots = process.argv[3];
if (shots) mkdirSync(shots, { recursive: true });
const directory = mkdtempSync(path.join(process.env.TMPDIR ?? os.tmpdir(), "mgd"));
const [https, http, mail] = await Promise.all([1, 2, 3].map(freePort));
let passed = 0;
let failed = 0;

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

const masugata = (...words) => execFileSync(path.join(build, "masugata"), [...words, "--dir", directory, "--lang", "en"], { encoding: "utf8" });
const at = (host, rest = "/") => `https://${host}.localhost:${https}${rest}`;

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

async function person(browser, tenant, login, password, language, viewport) {
  const context = await browser.newContext({ locale: language, ignoreHTTPSErrors: true, viewport });
  const page = await context.newPage();
  await page.goto(at(tenant));
  await page.fill("input[name=login]", login);
  await page.fill("input[name=password]", password);
  await page.keyboard.press("Enter");
  await page.waitForURL(at(tenant, "/**"));
  return page;
}

async function shot(page, name) {
  if (shots) await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
}

chmodSync(directory, 0o711);
writeFileSync(path.join(directory, "masugata.conf"),
  `tls.profile = "aes256"\ngate.https_port = ${https}\ngate.http_port = ${http}\nmail.url = "smtp://127.0.0.1:${mail}"\nmail.tls = "off"\nmail.from = "no-reply@masugata.localhost"\n`);
let browser;
try {
  const printed = masugata("up", "--demo", "--detach");
  const passwords = Object.fromEntries([...printed.matchAll(/^(\S+) +(\S+) +([a-z2-9]{20})$/gm)].map(([, , login, password]) => [login, password]));
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

  const desk = { width: 1100, height: 800 };
  const phone = { width: 390, height: 780 };
  await check("a customer's note stays with that customer", async () => {
    const aiko = await person(browser, "acme", "aiko@acme.example", passwords["aiko@acme.example"], "ja-JP", phone);
    await aiko.fill("textarea", "納期は木曜日");
    await aiko.click("form:has(textarea) button");
    await aiko.getByText("納期は木曜日").first().waitFor();
    await shot(aiko, "notes-ja-phone");
    const bob = await person(browser, "acme", "bob@acme.example", passwords["bob@acme.example"], "en-US", desk);
    await bob.getByText("納期は木曜日").first().waitFor();
    await shot(bob, "notes-en-desk");
    const haruto = await person(browser, "hinode", "haruto@hinode.example", passwords["haruto@hinode.example"], "ja-JP", desk);
    assert.equal(await haruto.getByText("納期は木曜日").count(), 0);
    // A session of one customer is nothing at another's host.
    await haruto.goto(at("acme"));
    assert.match(haruto.url(), /^https:\/\/id\.acme\.localhost/);
  });

  for (const [language, viewport, name] of [["en-US", desk, "en"], ["ja-JP", desk, "ja"]]) {
    await check(`Jupyter, unmodified, runs a notebook over its WebSocket (${name})`, async () => {
      const rin = await person(browser, "lab", "rin@lab.example", passwords["rin@lab.example"], language, viewport);
      await rin.locator("#notebook_list").waitFor();
      await shot(rin, `lab-files-${name}`);
      const status = await rin.evaluate(async (file) => {
        const token = document.cookie.match(/_xsrf=([^;]+)/)?.[1] ?? "";
        const cells = [{ cell_type: "code", source: "print(6 * 7, 'from', 'the kernel')", metadata: {}, outputs: [], execution_count: null }];
        const kernelspec = { name: "python3", display_name: "Python 3" };
        const body = JSON.stringify({ type: "notebook", content: { cells, metadata: { kernelspec }, nbformat: 4, nbformat_minor: 4 } });
        const answer = await fetch(`/api/contents/${file}`, { method: "PUT", body, headers: { "Content-Type": "application/json", "X-XSRFToken": token } });
        return answer.status;
      }, `answer-${name}.ipynb`);
      assert.equal(status, 201);
      await rin.goto(at("lab", `/notebooks/answer-${name}.ipynb`));
      await rin.locator("#kernel_indicator_icon.kernel_idle_icon").waitFor({ state: "attached", timeout: 40000 });
      await rin.locator(".code_cell").first().click();
      await rin.keyboard.press("Control+Enter");
      await rin.getByText("42 from the kernel").waitFor({ timeout: 20000 });
      await shot(rin, `lab-notebook-${name}`);
    });
  }

  let app;
  await check("the first operator sets up a second factor, and is asked for it from then on", async () => {
    const context = await browser.newContext({ locale: "ja-JP", ignoreHTTPSErrors: true, viewport: phone, javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(at("console", "/console/tenants"));
    await page.fill("input[name=login]", "operator");
    await page.fill("input[name=password]", passwords.operator);
    await page.keyboard.press("Enter");
    await page.waitForURL(at("console", "/sign-in/enrol?**"));
    assert.ok((await page.locator("svg.qr path").getAttribute("d")).length > 1000);
    await shot(page, "enrol-ja-phone");
    await page.click("details summary");
    app = new App(await page.locator("code.key").innerText());
    await page.goto(at("console", "/console/tenants"));
    assert.match(page.url(), /\/sign-in\?/, "the password alone is no session");
    await page.goBack();
    await page.fill("input[name=code]", "000000");
    await page.keyboard.press("Enter");
    await page.locator("#summary").waitFor();
    await page.fill("input[name=code]", await app.next());
    await page.keyboard.press("Enter");
    await page.locator(".codes li").first().waitFor();
    assert.equal(await page.locator(".codes li").count(), 10);
    await shot(page, "recovery-codes-ja-phone");
    const recovery = await page.locator(".codes li").first().innerText();
    await page.click("a.primary");
    await page.waitForURL(at("console", "/console/tenants"));
    const other = await browser.newContext({ locale: "ja-JP", ignoreHTTPSErrors: true, viewport: phone });
    const second = await other.newPage();
    await second.goto(at("console", "/console/tenants"));
    await second.fill("input[name=login]", "operator");
    await second.fill("input[name=password]", passwords.operator);
    await second.keyboard.press("Enter");
    await second.waitForURL(at("console", "/sign-in/second?**"));
    await shot(second, "second-factor-ja-phone");
    await second.fill("input[name=code]", recovery);
    await second.keyboard.press("Enter");
    await second.waitForURL(at("console", "/console/tenants"));
    await second.goto(at("console", "/factors"));
    await second.getByText("残り 9 個").waitFor();
    await shot(second, "factors-ja-phone");
  });

  await check("the operator's console shows the tenants and what they have of their own", async () => {
    const context = await browser.newContext({ locale: "en-US", ignoreHTTPSErrors: true, viewport: desk });
    const page = await context.newPage();
    await page.goto(at("console", "/console/tenant?name=lab"));
    await page.fill("input[name=login]", "operator");
    await page.fill("input[name=password]", passwords.operator);
    await page.keyboard.press("Enter");
    await page.waitForURL(at("console", "/sign-in/second?**"));
    await page.fill("input[name=code]", await app.next());
    await page.keyboard.press("Enter");
    await page.waitForURL(at("console", "/console/**"));
    await page.goto(at("console", "/console/tenant?name=lab"));
    await page.getByText("content_security_policy").first().waitFor();
    assert.match(await page.locator("h1").innerText(), /^Data Lab/);
    await shot(page, "console-tenant-en");
    await page.setViewportSize(phone);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "no sideways scrolling on a phone");
    for (const link of await page.locator(".bar nav a").all())
      assert.ok((await link.boundingBox()).height < 48, "no word of the menu is broken");
    await shot(page, "console-tenant-phone");
  });
} finally {
  await browser?.close();
  masugata("down");
  rmSync(directory, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
