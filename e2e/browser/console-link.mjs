// Opens the console in Chromium and tells on lines of their own how the page gets on with
// the way to the gateway. The mode is one of
//
//   away    that it is live, when it says that the gateway is gone, and when it is live again
//   watch   what it says of the link, how often the rules have decided, and how many points
//           the charts have, whenever that changes: "live; 3 hits; 2 points". Each SIGUSR2
//           puts another tab in front of it ("hidden"), or takes it to the front again
//           ("shown: asked after 3 ms")
//   head    what the head says, whether there is an answer or not, whenever that changes:
//           "live; ready; ". Each SIGUSR2 has axe-core look at it: "audit: "
//   use     as JSON, what its parts say that ask the gateway something
//
//   npm ci --ignore-scripts   (once, in this folder)
//   node console-link.mjs /usr/bin/chromium http://127.0.0.1:9901 away|watch|head|use
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { audit, browserArgs, desktop, live, note, open, patience, withBrowser } from "./console-page.mjs";

const [executablePath, admin, mode] = process.argv.slice(2);

async function leave(browser) {
  const seen = { errors: [], requests: [], away: true };
  const page = await open(browser, admin, desktop, "light", seen);
  const started = () => page.locator("#facts").textContent();
  const before = await started();
  console.log("live");
  await page.waitForFunction(() => document.getElementById("link").textContent.startsWith("no answer since "), null, patience);
  console.log(`gone: ${await page.locator("#link").textContent()}; ${await page.locator("#said").textContent()}; ${await audit(page)}`);
  await live(page);
  await page.waitForFunction((was) => document.getElementById("facts").textContent !== was, before, patience);
  console.log(`live again: ${seen.errors}`);
}

// withTabs calls use with the tabs of a browser that treats them as it does its users':
// one that Playwright starts has each of them think that it is in front.
async function withTabs(use) {
  const profile = mkdtempSync(join(tmpdir(), "overtake-browser-"));
  const child = spawn(executablePath, ["--headless=new", ...browserArgs, "--remote-debugging-port=0", `--user-data-dir=${profile}`], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  try {
    const address = await new Promise((resolve, reject) => {
      let said = "";
      child.stderr.on("data", (text) => {
        said += text;
        const found = /DevTools listening on (ws:\S+)/.exec(said);
        if (found) resolve(found[1]);
      });
      ended.then(() => reject(new Error(`${executablePath} ended: ${said}`)));
    });
    const browser = await chromium.connectOverCDP(address, { noDefaults: true });
    await use(browser.contexts()[0]);
    await (await browser.newBrowserCDPSession()).send("Browser.close");
  } finally {
    child.kill();
    await ended;
    await remove(profile);
  }
}

// remove tries again for a while: children of the browser end a moment later, and may
// put a file into a folder that was looked through already.
async function remove(folder) {
  for (let left = 50; ; left--) {
    try {
      return rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if (left === 0) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

// report runs in the page: it tells what is to be seen, and when the page is hidden and
// asks again.
function report() {
  const hits = () => [...document.querySelectorAll("#rule-table tbody tr")].reduce((sum, r) => sum + Number(r.cells[4].textContent.replaceAll(",", "")), 0);
  let said = "";
  const look = () => {
    const text = `${document.getElementById("link").textContent}; ${hits()} hits; ${document.querySelectorAll(".chart:has(#plot-rate) tbody tr").length} points`;
    if (text !== said) window.tell(text);
    said = text;
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
  document.querySelector(".chart:has(#plot-rate) button").click(); // the table of its points
  look();
  document.addEventListener("visibilitychange", ({ timeStamp: since }) => {
    if (document.hidden) return window.tell("hidden");
    new PerformanceObserver((list, observer) => {
      const first = list.getEntries().find((e) => e.name.includes("/console/state") && e.startTime >= since);
      if (!first) return;
      observer.disconnect();
      window.tell(`shown: asked after ${Math.round(first.startTime - since)} ms`);
    }).observe({ type: "resource" });
  });
}

// watch goes on until the program is ended.
async function watch(context) {
  const page = await context.newPage(), other = await context.newPage();
  const seen = { errors: [], requests: [], away: true };
  note(page, admin, seen);
  await page.exposeFunction("tell", (text) => console.log(text));
  await page.bringToFront();
  await page.goto(`${admin}/console`, { waitUntil: "load" });
  await live(page);
  let front = true;
  process.on("SIGUSR2", () => { front = !front; (front ? page : other).bringToFront(); });
  const end = new Promise((resolve) => process.once("SIGTERM", resolve));
  await page.evaluate(report);
  await end;
  console.log(`ended: ${[...seen.errors, ...seen.requests]}`);
}

// reportHead runs in the page: it tells what the head says.
function reportHead() {
  let said = "";
  const look = () => {
    const texts = ["link", "ready", "notices"].map((id) => document.getElementById(id)).map((n) => (n.hidden ? "" : n.textContent));
    if (texts.join("; ") !== said) window.tell(said = texts.join("; "));
  };
  new MutationObserver(look).observe(document.querySelector("header"), { subtree: true, childList: true, characterData: true, attributes: true });
  look();
}

// watchHead goes on until the program is ended.
async function watchHead(browser) {
  const seen = { errors: [], requests: [], away: true };
  const page = await browser.newPage(desktop);
  note(page, admin, seen);
  await page.exposeFunction("tell", (text) => console.log(text));
  process.on("SIGUSR2", async () => console.log(`audit: ${await audit(page)}`));
  const end = new Promise((resolve) => process.once("SIGTERM", resolve));
  await page.goto(`${admin}/console`, { waitUntil: "load" });
  await page.evaluate(reportHead);
  await end;
  console.log(`ended: ${[...seen.errors, ...seen.requests]}`);
}

// useAll opens a slow request, asks for its trace, has a request explained, and follows
// the link of the admin index to the page.
async function useAll(browser) {
  const seen = { errors: [], requests: [] };
  const page = await open(browser, admin, desktop, "light", seen);
  await page.locator("#slow-table .toggle").first().click(patience);
  await page.getByRole("button", { name: "Hops in Jaeger" }).click(patience);
  const hops = page.getByRole("list", { name: "Hops in Jaeger" }).locator("li");
  await hops.or(page.locator("tr.detail .error")).first().waitFor(patience);
  seen.trace = await page.locator("tr.detail [aria-live]").textContent();
  await page.locator("#explain-url").fill("/marked");
  await page.locator("#explain-form button").click(patience);
  await page.locator("#explain-result .verdict, #explain-error:not([hidden])").first().waitFor(patience);
  seen.explained = await page.locator("#explain").evaluate((n) => n.querySelector(".answer")?.textContent ?? n.querySelector("#explain-error").textContent);
  seen.share = await page.locator("#rule-table tbody tr", { hasText: "marked" }).locator(".share").textContent(patience);
  await page.goto(`${admin}/`);
  await page.getByRole("link", { name: "/console" }).click(patience);
  await live(page);
  seen.reached = page.url();
  console.log(JSON.stringify(seen));
}

if (mode === "watch") await withTabs(watch);
else await withBrowser(executablePath, { away: leave, head: watchHead, use: useAll }[mode]);
