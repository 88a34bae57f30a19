// A sign-in through SimpleSAMLphp in Chromium: node saml_browser.mjs START_URL. Prints the address and the text that it ends
// at; what it is about is which cookies a browser shows to the provider's form and to the page behind it.
import { chromium } from "playwright-core";

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: "en" });
  const page = await context.newPage();
  const shown = [];
  page.on("request", async (request) => {
    if (request.url().includes("/federation/")) {
      const headers = await request.allHeaders();
      shown.push([request.method(), new URL(request.url()).pathname, (headers.cookie ?? "").split("; ").map((c) => c.split("=")[0])]);
    }
  });
  await page.goto(process.argv[2]);
  await page.fill("input[name=username]", "hana");
  await page.fill("input[name=password]", "secret");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/account$/, { timeout: 20000 });
  console.log(JSON.stringify({ url: page.url(), text: await page.innerText("body"), shown }));
} finally {
  await browser.close();
}
