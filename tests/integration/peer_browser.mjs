// Chromium on its way through our pages and an identity provider's: node peer_browser.mjs STEPS. STEPS is JSON, a list of
// ["go", URL], ["fill", selector, text], ["press", selector], ["at", regular expression of the address], ["text"],
// ["apart", URL] (its text in a tab of its own), ["gone", URL] (until such a tab is sent elsewhere). Prints what "text" and "apart" saw, where it ended, and which cookies a
// browser showed to which of our /federation/ addresses.
import { chromium } from "playwright-core";

const steps = JSON.parse(process.argv[2]);
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const texts = [], shown = [];
let page;
try {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: "en" });
  context.setDefaultTimeout(40000);
  page = await context.newPage();
  page.on("request", async (request) => {
    if (request.url().includes("/federation/")) {
      const headers = await request.allHeaders();
      shown.push([request.method(), new URL(request.url()).pathname, (headers.cookie ?? "").split("; ").map((c) => c.split("=")[0])]);
    }
  });
  const acts = {
    go: (url) => page.goto(url),
    fill: (selector, text) => page.fill(selector, text),
    press: (selector) => page.locator(selector).first().click(),
    at: (expression) => page.waitForURL(new RegExp(expression)),
    text: async () => texts.push(await page.innerText("body")),
    apart: async (url) => {
      const other = await context.newPage();
      await other.goto(url);
      texts.push(await other.innerText("body"));
      await other.close();
    },
    gone: async (url) => {
      const other = await context.newPage();
      for (const until = Date.now() + 40000; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
        await other.goto(url);
        if (other.url() !== url) break;
        if (Date.now() > until) throw new Error(`${url} is still there`);
      }
      await other.close();
    },
  };
  for (const [name, ...rest] of steps) await acts[name](...rest);
  console.log(JSON.stringify({ url: page.url(), texts, shown }));
} catch (error) {
  console.error(error.message, "at", page?.url(), (await page?.innerText("body").catch(() => ""))?.slice(0, 1500), JSON.stringify(shown));
  process.exitCode = 1;
} finally {
  await browser.close();
}
