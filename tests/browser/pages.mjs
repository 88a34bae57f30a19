// The pages in a real browser: every page in both languages, two sizes and two colour schemes with
// axe-core; the ways through them by keyboard and without JavaScript; what they must refuse.
// SCREENSHOTS=DIR keeps pictures.
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import assert from "node:assert/strict";
import path from "node:path";
import { chromium } from "playwright-core";
import { start } from "./front.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const password = "correct horse battery staple";
const build = process.argv[2] ?? "build";
const pictures = process.env.SCREENSHOTS;
if (pictures) mkdirSync(pictures, { recursive: true });
let passed = 0, failed = 0;

async function test(name, body) {
  try {
    await body();
    passed++;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}

const front = await start(build);
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const contextWith = (options = {}) => browser.newContext({ ignoreHTTPSErrors: true, locale: "en-US", ...options });

// A page of a fresh browser; what the console reports (CSP above all) is a failure.
async function withPage(options, body) {
  const context = await contextWith(options);
  const complaints = [];
  const page = await context.newPage();
  page.on("console", (message) => { if (message.type() === "error" && !/status of (4|5)/.test(message.text())) complaints.push(message.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  try {
    await body(page, context);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

async function check(page, name) {
  if (pictures) await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
  await page.evaluate(() => document.activeElement?.blur());
  // Evaluated by the debugger, so the page's own policy stays as it is.
  const results = await page.evaluate(`${axe}; axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })`);
  assert.deepEqual(results.violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join("; ")}`), []);
  const wider = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  assert.equal(wider, false, "the page scrolls sideways");
}

async function signIn(page, where, login = "hana") {
  await page.goto(where);
  await page.fill("#login", login);
  await page.fill("#password", password);
  await page.press("#password", "Enter");
  await page.waitForLoadState();
}

const id = (rest) => front.url("id.acme.localhost", rest);
const operators = (rest) => front.url("console.localhost", rest);
const ticket = Buffer.alloc(32, "T").toString("base64url");
const hour = 3600e3, ago = (ms) => new Date(Date.now() - ms).toISOString();

// A finding for every control that is built, so that the pages have something to show.
function trust(reasons = false) {
  const directory = new URL("../../catalogue/controls/", import.meta.url);
  const ids = readdirSync(directory).flatMap((name) => [...readFileSync(new URL(name, directory), "utf8").matchAll(/CONTROL\((\w+), BUILT,/g)].map((row) => row[1]));
  const verdicts = ["holds", "holds", "holds", "broken", "holds", "unknown"];
  return { at: ago(0), controls: ids.map((id, i) => ({ id, verdict: verdicts[i % 6], since: ago(72 * hour), at: ago(40e3),
    ...(reasons && { reason: "12 of 12 listeners looked at", reason_ja: "待ち受け 12 件中 12 件を確認" }) })) };
}

const publicPages = [
  ["sign-in", id("/sign-in")],
  ["reset", id("/reset")],
  ["reset-new", id(`/reset/new?must=1&ticket=${ticket}`), async (page) => { await page.goto(id("/reset")); await page.fill("#login", "hana"); await page.click("button.primary"); }],
  ["reset-spent", id("/reset/new?ticket=wrong")],
  ["signed-out", id("/signed-out")],
  ["not-found", id("/nowhere")],
  ["closed", front.url("shut.localhost", "/sign-in")],
  ["trust", id("/.well-known/masugata/trust")],
  ["responsibility", id("/.well-known/masugata/responsibility")],
  ["app-sign-out", front.url("acme.localhost", "/.masugata/sign-out")],
  ["operator-sign-in", operators("/sign-in")],
];
const userPages = [["account", id("/account")], ["password", id("/password")], ["sign-out", id("/sign-out")],
  ["factors", id("/factors")], ["factor-app", id("/factors/totp")], ["step-up", id("/step-up")]];
const operatorPages = ["tenants", "tenants/new", "tenant?name=acme", "sessions", "controls", "audit"]
  .map((rest) => [`console-${rest.replace(/\W+/g, "-")}`, operators(`/console/${rest}`)]);

front.publish("trust.json", trust());
front.publish("controls.json", trust(true));

for (const [language, size, scheme] of [["ja-JP", "desktop", "light"], ["en-US", "phone", "dark"], ["ja-JP", "phone", "light"], ["en-US", "desktop", "dark"]]) {
  const viewport = size === "phone" ? { width: 375, height: 740 } : { width: 1200, height: 800 };
  const options = { locale: language, viewport, colorScheme: scheme, timezoneId: "Asia/Tokyo" };
  const label = `${language.slice(0, 2)}-${size}-${scheme}`;
  for (const [name, url, before] of publicPages)
    await test(`${name} ${label}`, () => withPage(options, async (page) => {
      await before?.(page);
      await page.goto(url);
      assert.equal(await page.getAttribute("html", "lang"), language.slice(0, 2));
      await check(page, `${name}-${label}`);
    }));
  await test(`pages of a user ${label}`, () => withPage(options, async (page) => {
    await signIn(page, id("/sign-in"));
    for (const [name, url] of userPages) {
      await page.goto(url);
      await check(page, `${name}-${label}`);
    }
  }));
  await test(`pages of an operator ${label}`, () => withPage(options, async (page) => {
    await signIn(page, operators("/sign-in"), "ops");
    for (const [name, url] of operatorPages) {
      await page.goto(url);
      await check(page, `${name}-${label}`);
    }
  }));
  await test(`second factor ${label}`, () => withPage({ ...options, javaScriptEnabled: true }, async (page) => {
    await signIn(page, id("/sign-in"), "second");
    assert.equal(new URL(page.url()).pathname, "/sign-in/second");
    await check(page, `second-${label}`);
    await page.fill("#code", "999999");
    await page.keyboard.press("Enter");
    await page.locator("#summary").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), "summary");
    await check(page, `second-locked-${label}`);
    await page.fill("#code", "123456");
    await page.keyboard.press("Enter");
    await page.waitForURL(id("/account"));
    await page.goto(id("/factors"));
    await page.click("form[action='/factors/recovery'] button");
    await page.locator(".codes").waitFor();
    await check(page, `recovery-${label}`);
  }));
  await test(`setting up a second factor ${label}`, () => withPage(options, async (page) => {
    await signIn(page, id("/sign-in"), "enrol");
    assert.equal(new URL(page.url()).pathname, "/sign-in/enrol");
    await check(page, `enrol-${label}`);
    const box = await page.locator("svg.qr").boundingBox();
    assert.ok(box.width >= 150 && Math.abs(box.width - box.height) < 2, "the QR code is a square that a camera can read");
    await page.fill("#code", "123456");
    await page.keyboard.press("Enter");
    await page.locator(".codes").waitFor();
    await page.click("a.primary");
    await page.waitForURL(id("/account"));
  }));
  await test(`wrong password ${label}`, () => withPage(options, async (page) => {
    await page.goto(id("/sign-in"));
    await page.fill("#login", "nobody");
    await page.fill("#password", "wrong");
    await page.click("button.primary");
    assert.equal(await page.evaluate(() => document.activeElement.id), "summary");
    assert.equal(await page.inputValue("#login"), "nobody");
    assert.equal(await page.inputValue("#password"), "");
    assert.match(await page.title(), language === "ja-JP" ? /^エラー/ : /^Error/);
    await check(page, `wrong-${label}`);
  }));
}

await test("to an application and back, without JavaScript", () => withPage({ javaScriptEnabled: false }, async (page, context) => {
  await page.goto(front.url("acme.localhost", "/report?year=2026&part=a%20b"));
  assert.match(page.url(), /id\.acme\.localhost:\d+\/sign-in\?host=acme\.localhost&/);
  await page.fill("#login", "hana");
  await page.fill("#password", password);
  await page.click("button.primary");
  assert.equal(page.url(), front.url("acme.localhost", "/report?year=2026&part=a%20b"));
  const cookies = await context.cookies();
  for (const cookie of cookies) {
    assert.match(cookie.name, /^__Host-masugata/);
    assert.ok(cookie.secure && cookie.httpOnly && cookie.path === "/" && cookie.sameSite === "Lax", cookie.name);
  }
  assert.equal(cookies.some((cookie) => cookie.name === "__Host-masugata-start"), false);
  // The tenant's other application needs no second sign-in.
  await page.goto(front.url("notes.localhost", "/"));
  assert.equal(page.url(), front.url("notes.localhost", "/"));
  // Signing out in one ends both.
  await page.click("text=Leave");
  assert.equal(page.url(), id("/signed-out"));
  await page.goto(id("/account"));
  assert.match(page.url(), /\/sign-in\?return=%2Faccount$/);
}));

await test("by keyboard alone", () => withPage({}, async (page) => {
  await page.goto(id("/sign-in"));
  await page.keyboard.type("hana");
  await page.keyboard.press("Tab");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/account$/);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => location.hash), "#main");
}));

await test("the language stays switched", () => withPage({ locale: "en-US" }, async (page) => {
  await page.goto(front.url("acme.localhost", "/x"));
  const before = new URL(page.url());
  await page.click("text=日本語");
  const after = new URL(page.url());
  assert.equal(await page.getAttribute("html", "lang"), "ja");
  assert.equal(after.searchParams.get("binding"), before.searchParams.get("binding"));
  assert.equal(after.searchParams.get("return"), "/x");
  await page.goto(id("/reset"));
  assert.equal(await page.getAttribute("html", "lang"), "ja");
}));

await test("the password can be shown", () => withPage({}, async (page) => {
  await page.goto(id("/sign-in"));
  await page.fill("#password", "abc");
  await page.click("text=Show");
  assert.equal(await page.getAttribute("#password", "type"), "text");
  await page.click("text=Hide");
  assert.equal(await page.getAttribute("#password", "type"), "password");
}));

await test("sessions are ended from the account page", () => withPage({}, async (page) => {
  await signIn(page, id("/sign-in"));
  const other = await contextWith({ userAgent: "Mozilla/5.0 (X11; CrOS x86_64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0" });
  const elsewhere = await other.newPage();
  await signIn(elsewhere, id("/sign-in"));
  assert.match(elsewhere.url(), /\/account$/);
  await page.goto(id("/account"));
  await page.locator(".session", { hasText: "Microsoft Edge · ChromeOS" }).locator("button").click();
  assert.match(page.url(), /done=ended/);
  await elsewhere.goto(id("/account"));
  const after = elsewhere.url();
  await other.close();
  assert.match(after, /\/sign-in\?return=%2Faccount$/);
  await page.click("text=Sign out everywhere");
  assert.equal(page.url(), id("/signed-out"));
  await page.goto(id("/account"));
  assert.match(page.url(), /\/sign-in/);
}));

await test("a password given by somebody else must be changed", () => withPage({}, async (page) => {
  await signIn(page, id("/sign-in"), "new");
  assert.match(page.url(), /\/reset\/new\?must=1/);
  await page.fill("#password", "short");
  await page.click("button.primary");
  assert.match(await page.textContent("#summary"), /too short/);
  await page.fill("#password", password);
  await page.click("button.primary");
  assert.equal(await page.textContent("h1"), "Your password is set");
}));

await test("names with markup stay text", () => withPage({}, async (page) => {
  await signIn(page, operators("/sign-in"), "ops");
  await page.goto(operators("/console/tenant?name=acme"));
  assert.equal(await page.locator("img[src=x]").count(), 0);
  assert.match(await page.textContent("table"), /<script>alert\(1\)<\/script>/);
}));

await test("a form from another site is refused", () => withPage({}, async (page) => {
  await signIn(page, id("/sign-in"));
  await page.route("https://evil.example/", (route) => route.fulfill({ contentType: "text/html",
    body: `<title>x</title><form id=f method=post action="${id("/account/end")}"><input name=scope value=all></form><script>f.submit()</script>` }));
  await page.goto("https://evil.example/");
  await page.waitForURL(/account\/end/);
  assert.equal(await page.textContent("h1"), "Please try again");
  await page.goto(id("/account"));
  assert.match(page.url(), /\/account$/);
}));

await test("our pages cannot be framed", () => withPage({}, async (page) => {
  await page.route("https://evil.example/", (route) => route.fulfill({ contentType: "text/html",
    body: `<title>x</title><iframe src="${id("/sign-in")}"></iframe>` }));
  await page.goto("https://evil.example/");
  assert.equal(await page.frames()[1].locator("#login").count(), 0);
}).catch((error) => { if (!/frame-ancestors|X-Frame-Options/.test(error.message)) throw error; }));

await browser.close();
await front.stop();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
