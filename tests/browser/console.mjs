// The customer's console in a real browser, before a whole deployment: every page with nothing, little and much in it, in
// both languages, on a phone and at a desk, with axe-core; by keyboard alone; wrong input; what cannot be undone is asked
// for twice. SCREENSHOTS=DIR keeps pictures.
//   node tests/browser/console.mjs BUILD
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const build = path.resolve(process.argv[2] ?? "build");
const pictures = process.env.SCREENSHOTS;
if (pictures) mkdirSync(pictures, { recursive: true });
const directory = mkdtempSync(path.join(process.env.TMPDIR ?? os.tmpdir(), "mgc"));
const password = "correct horse battery staple";
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

const [httpsPort, httpPort] = await Promise.all([1, 2].map(freePort));
const application = http.createServer((request, response) => response.end("the application")).listen(0, "127.0.0.1");
await new Promise((resolve) => application.on("listening", resolve));
const masugata = (words, input) => execFileSync(path.join(build, "masugata"), [...words, "--dir", directory, "--lang", "en"], { encoding: "utf8", input });
const at = (rest, tenant = "acme") => `https://id.${tenant}.localhost:${httpsPort}${rest}`;

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

async function enter(browser, { language = "en-US", width = 1280, login = "administrator", tenant = "acme", ...options } = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: language, viewport: { width, height: 800 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on("console", (message) => { if (message.type() === "error" && !/status of (4|5)/.test(message.text())) page.complaints.push(message.text()); });
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  await page.goto(at("/sign-in", tenant));
  await page.fill("#login", `${login}@${tenant}.example`);
  await page.fill("#password", password);
  await page.click("button.primary");
  await page.waitForURL(/\/account$/);
  return page;
}

// No complaint of the browser, nothing that axe-core finds, nothing wider than the screen.
async function look(page, name) {
  await page.evaluate(() => document.activeElement?.blur());
  if (pictures) await page.screenshot({ path: path.join(pictures, `${name.replace(/[^\w.-]+/g, "_")}.png`), fullPage: true });
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"] }));
  assert.deepEqual(found.violations.map((violation) => [violation.id, violation.nodes[0].html]), [], name);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} is wider than the screen`);
  assert.deepEqual(page.complaints, [], name);
}

const pages = ["/console/users", "/console/users?search=zz", "/console/user?login=auditor@acme.example", "/console/invitations", "/console/groups", "/console/groups?search=zz", "/console/tokens", "/console/roles",
  "/console/providers", "/console/policy", "/console/sessions", "/console/sign-ins", "/console/audit", "/console/audit?words=zzzz",
  "/console/vendor", "/console/vendor?until=2020-01-01", "/console/reports?kind=privileges", "/console/rights"];
const kinds = [["ja-JP", 390], ["en-US", 1280]];

chmodSync(directory, 0o711);
writeFileSync(path.join(directory, "masugata.conf"), `tls.profile = "aes256"\ngate.https_port = ${httpsPort}\ngate.http_port = ${httpPort}\n`);
let browser;
try {
  masugata(["up", "--detach"]);
  for (const tenant of ["acme", "globex"]) {
    masugata(["tenant", "add", tenant, "--label", `株式会社 ${tenant}`, "--host", `${tenant}.localhost`, "--sign-in-host", `id.${tenant}.localhost`,
      "--upstream", `127.0.0.1:${application.address().port}`]);
    masugata(["user", "add", `administrator@${tenant}.example`, "--tenant", tenant, "--name", "管理 太郎", "--roles", "administrator", "--password-stdin"], password);
  }
  for (let i = 0; !/"state":"active".*"state":"active"/.test(masugata(["tenant", "list", "--json"])) && i < 100; i++) await new Promise((resolve) => setTimeout(resolve, 100));
  masugata(["user", "add", "auditor@acme.example", "--tenant", "acme", "--name", "Auditor <b>", "--roles", "auditor", "--email", "auditor@acme.example",
    "--password-stdin"], password);
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

  for (const [language, width] of kinds.slice(0, 1))
    await check(`pages of a tenant with nobody but its administrator, ${language}, ${width} px`, async () => {
      const page = await enter(browser, { language, width, tenant: "globex" });
      for (const place of pages.filter((place) => !place.includes("auditor"))) {
        await page.goto(at(place, "globex"));
        await look(page, `empty ${place} ${language} ${width}`);
      }
      await page.context().close();
    });

  await check("an identity provider and an invitation are set up by keyboard alone", async () => {
    const page = await enter(browser);
    const type = async (id, text) => {
      for (let i = 0; i < 60 && (await page.evaluate(() => document.activeElement.id)) !== id; i++) await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.id), id);
      await page.keyboard.type(text);
    };
    await page.goto(at("/console/providers"));
    await type("new_provider", "Not A Name");
    await type("new_issuer", "https://idp.example/.well-known/openid-configuration");
    await type("new_client", "masugata");
    await page.keyboard.press("Enter");
    await page.locator("#summary").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), "summary", "what is wrong is read first");
    assert.equal(await page.inputValue("#new_client"), "masugata", "nothing has to be typed twice");
    await look(page, "provider refused");
    await page.fill("#new_provider", "corp");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/console\/provider\?name=corp/);
    assert.match(await page.textContent(".notice"), /disabled until you enable it/);
    assert.equal(await page.inputValue("#set_issuer"), "https://idp.example");
    await page.goto(at("/console/users"));
    await type("new_login", "mio@acme.example");
    await type("new_name", "Mio");
    await type("new_email", "mio@acme.example");
    await page.keyboard.press("Enter");
    await page.waitForURL(/done=user_added/);
    await page.goto(at("/console/invitations"));
    assert.match(await page.textContent("tbody"), /mio@acme.example/);
    await page.context().close();
  });

  await check("a group from its name to nothing, by keyboard alone and without JavaScript", async () => {
    const page = await enter(browser, { javaScriptEnabled: false, width: 390 });
    await page.goto(at("/console/groups"));
    await page.locator("#new_group").focus();
    await page.keyboard.type("監査チーム <1>");
    await page.locator("#role_auditor").focus();
    await page.keyboard.press("Space");
    await page.keyboard.press("Enter");
    await page.waitForURL(/done=group_added/);
    assert.equal(await page.textContent("h1"), "監査チーム <1>");
    assert.equal(await page.isChecked("#role_auditor"), true);
    await page.locator("#new_member").focus();
    await page.keyboard.type("auditor@acme.example");
    await page.keyboard.press("Enter");
    await page.waitForURL(/done=group_joined/);
    assert.match(await page.textContent("tbody"), /Auditor <b>/);
    await page.fill("#new_name", "Auditors");
    await page.keyboard.press("Enter");
    await page.waitForURL(/name=Auditors&done=group_renamed/);
    await page.click('button:has-text("Take out")');
    await page.waitForURL(/done=group_left/);
    await page.locator('summary:has-text("Remove")').focus();
    await page.keyboard.press("Enter");
    await page.click('button:has-text("Remove it for good")');
    await page.waitForURL(/\/console\/groups\?done=group_removed/);
    await page.context().close();
  });

  await check("what cannot be undone is asked for twice", async () => {
    const page = await enter(browser);
    await page.goto(at("/console/provider?name=corp"));
    const gone = page.locator('button:has-text("Remove it for good")');
    assert.equal(await gone.isVisible(), false);
    await page.focus("details.ask summary");
    await page.click('summary:has-text("Remove")');
    assert.equal(await gone.isVisible(), true);
    await look(page, "provider about to be removed");
    await gone.click();
    await page.waitForURL(/\/console\/providers\?done=provider_removed/);
    await page.goto(at("/console/sessions"));
    assert.equal(await page.locator('button:has-text("End all of them now")').isVisible(), false);
    await page.context().close();
  });

  // A page of 100, a second one, and providers in every state.
  const people = Array.from({ length: 100 }, (_, i) => `person${String(i).padStart(3, "0")}@acme.example`);
  const hash = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
  writeFileSync(path.join(directory, "people.csv"), "login,name,email,roles,language,password_hash\n" +
    people.map((login) => `${login},佐藤 ${login.slice(6, 9)},${login},user,ja,"${hash}"\n`).join(""));
  masugata(["user", "import", path.join(directory, "people.csv"), "--tenant", "acme"]);
  const day = (days) => new Date(Date.now() + days * 86400000).toISOString().slice(0, 19) + "Z";
  for (const [name, ends] of [["okta", day(900)], ["soon", day(9)], ["old", day(-9)]])
    masugata(["idp", "add", "acme", name, `issuer=https://${name}.example`, "client.id=masugata", `label=アクメ ${name}`, "domains=acme.example acme.co.jp", `expires=${ends}`]);
  masugata(["idp", "enable", "acme", "soon"]);
  for (const name of ["監査チーム", "Everybody with a rather long name that goes on and on until it does not fit a phone any more"])
    masugata(["group", "set", name, "--tenant", "acme", "--roles", name.startsWith("E") ? "" : "auditor"]);
  masugata(["group", "join", "監査チーム", "auditor@acme.example", "--tenant", "acme"]);
  masugata(["role", "set", "helper", "--tenant", "acme", "--label", "ヘルプデスク", "--permissions", "users.read"]);

  for (const [language, width] of kinds)
    await check(`pages with much on them, ${language}, ${width} px`, async () => {
      const page = await enter(browser, { language, width });
      for (const place of [...pages, "/console/provider?name=soon", "/console/provider?name=old", `/console/group?name=${encodeURIComponent("監査チーム")}`, "/account", "/password", "/factors"]) {
        assert.equal((await page.goto(at(place))).status(), 200, place);
        await look(page, `full ${place} ${language} ${width}`);
      }
      await page.goto(at("/console/users"));
      assert.equal(await page.locator("tbody tr").count(), 100);
      await page.click(".pager a");
      assert.ok((await page.locator("tbody tr").count()) >= 3);
      await page.context().close();
    });

  await check("on a phone the menu opens, and every cell of a card says what it is", async () => {
    const page = await enter(browser, { width: 390 });
    await page.goto(at("/console/users"));
    assert.equal(await page.locator(".menu nav").isVisible(), false);
    await page.click(".menu summary");
    await look(page, "menu on a phone");
    await page.click('.menu a:has-text("Sign-ins")');
    await page.waitForURL(/sign-ins/);
    const label = await page.evaluate(() => getComputedStyle(document.querySelector("td[data-label]"), "::before").content);
    assert.notEqual(label, "none");
    await page.context().close();
  });

  await check("without JavaScript, and by somebody who may only look", async () => {
    const page = await enter(browser, { javaScriptEnabled: false, login: "auditor" });
    await page.goto(at("/console/policy"));
    assert.equal(await page.locator(".menu nav").isVisible(), true);
    assert.equal(await page.locator("main button").count(), 0);
    await page.goto(at("/console/users"));
    assert.equal(await page.locator("#new_login").count(), 0);
    assert.match(await page.locator("tbody").textContent(), /Auditor <b>/);
    await page.context().close();
  });

  await check("wrong rules and a rule that locks out say so where they were typed", async () => {
    const page = await enter(browser);
    for (const [keyword, value, words] of [["session.idle", "soon", /not allowed/], ["allow.sign_in", "192.0.2.0/24", /lock you out/]]) {
      await page.goto(at("/console/policy"));
      await page.fill(`[id="rule-${keyword}"]`, value);
      await page.click(`button[aria-label="Change: ${keyword}"]`);
      await page.locator("#summary").waitFor();
      assert.match(await page.textContent("#summary"), words);
      assert.equal(await page.inputValue(`[id="rule-${keyword}"]`), value);
      await look(page, `rule refused ${keyword}`);
    }
    await page.context().close();
  });
} finally {
  await browser?.close();
  application.close();
  try {
    masugata(["down"]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
