// What the programs beside this one share: the browser, and how the console is opened.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const patience = { timeout: 60e3 };
export const desktop = { name: "desktop", viewport: { width: 1280, height: 900 } };
export const phone = { name: "phone", viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

// browserArgs have it run as root, and ask nobody but whom a page asks.
export const browserArgs = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

// withBrowser calls use with a browser, which it closes.
export async function withBrowser(executablePath, use) {
  const browser = await chromium.launch({ executablePath, headless: true, args: browserArgs });
  try {
    await use(browser);
  } finally {
    await browser.close();
  }
}

// open opens the console of an admin listener, and waits until it is live. What is wrong
// with the page is noted in seen.errors, and what it asks of others in seen.requests. With
// seen.away, answers that fail are no errors.
export async function open(browser, admin, { name, ...screen }, colorScheme, seen) {
  const context = await browser.newContext({ ...screen, colorScheme, reducedMotion: "reduce" });
  const page = await context.newPage();
  note(page, admin, seen);
  await page.goto(`${admin}/console`, { waitUntil: "load" });
  await live(page);
  return page;
}

// note notes what is wrong with a page, as open does.
export function note(page, admin, seen) {
  // That an asked question is refused is no error of the page.
  const asked = (url) => /\/(console\/trace|debug\/explain)\?/.test(url) || seen.away;
  page.on("console", (m) => { if (["error", "warning"].includes(m.type()) && !asked(m.location().url)) seen.errors.push(m.text()); });
  page.on("pageerror", (e) => seen.errors.push(String(e)));
  page.on("dialog", (d) => { seen.errors.push(`dialog ${d.message()}`); d.dismiss(); });
  page.on("request", (r) => { if (!r.url().startsWith(`${admin}/`) && !r.url().startsWith("data:")) seen.requests.push(r.url()); });
}

export async function live(page) {
  await page.waitForFunction(() => document.getElementById("link").textContent === "live", null, patience);
}

// audit lists what axe-core finds serious or critical.
export async function audit(page) {
  await page.evaluate(axe);
  const { violations, passes } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  if (passes.length < 10) throw new Error(`axe-core checked ${passes.length} rules only`);
  return violations.filter((v) => ["serious", "critical"].includes(v.impact))
    .map((v) => `${v.impact} ${v.id}: ${v.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 120)} ${n.failureSummary}`).join(" | ")}`);
}
