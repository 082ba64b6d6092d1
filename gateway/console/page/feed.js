// Where states come from: events while they work, else asking again and again.

const silence = 5e3; // events that come less often have failed
const pollEvery = 5e3;
const tryEventsEvery = 30e3; // while polling works and events do not

// asking is how the gateway is asked. It redirects nobody: what does is a proxy, and the
// page that it leads to may be of a host that answers no page of another.
const asking = { cache: "no-store", redirect: "manual" };

// answerOf returns the gateway's answer. What answers in its place, such as a proxy that
// wants a login, sends a page or a redirect. What the gateway refuses before it looks at
// the question, it refuses in plain text.
async function answerOf(response) {
  const text = await response.text().catch(() => { throw new Error("The gateway's answer broke off."); });
  if ([400, 403].includes(response.status) && response.headers.get("Content-Type")?.startsWith("text/plain")) throw new Error(text.trim());
  const answer = parsed(text);
  if (!answer) throw new Error(notTheGateway(response));
  if (!response.ok) throw new Error(answer.error ?? `The gateway answered ${response.status}.`);
  return answer;
}

// parsed is the object that a text stands for, or null.
function parsed(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch { return null; }
}

function notTheGateway({ type, status }) {
  const how = type === "opaqueredirect" ? "a redirect" : `status ${status}`;
  return `Not the gateway answered, but something before it, with ${how}. ${status < 500 ? "Load this page again: a proxy may want a login." : "It may not reach the gateway."}`;
}

// askState returns the gateway's whole state, or in error why there is none: empty if
// nothing answered.
async function askState(signal) {
  const response = await fetch("console/state", { ...asking, signal }).catch(() => null);
  if (!response) return { error: "" };
  try {
    const state = await answerOf(response);
    return state.history ? { state } : { error: notTheGateway(response) };
  } catch (error) {
    return { error: error.message };
  }
}

// makeFeed calls show with each state, which asks for a whole one by returning false,
// and tell(mode, at, error) with live, polling, gone (no answer since at, and what came
// in its place) or paused. Nothing runs while the page is hidden or paused.
function makeFeed(show, tell) {
  let source = null, timer = 0, aborter = null, paused = false, answered = Date.now();
  let triedEvents = 0, promising = true; // events are worth a try as soon as there is an answer

  const got = (state, mode) => {
    answered = Date.now();
    const taken = show(state, mode === "polling");
    if (taken) tell(mode);
    return taken;
  };
  const stop = () => {
    source?.close();
    source = null;
    aborter?.abort();
    aborter = null;
    clearTimeout(timer);
  };
  const listen = () => {
    triedEvents = Date.now();
    promising = false;
    source = new EventSource("console/events");
    let heard = false; // a proxy may end each stream with its first event
    const watch = () => { clearTimeout(timer); timer = setTimeout(poll, silence); };
    source.addEventListener("state", (event) => {
      promising = heard;
      heard = true;
      if (got(JSON.parse(event.data), "live")) watch();
      else run();
    });
    source.addEventListener("error", poll);
    watch();
  };
  // poll asks once. An answer is a reason to try events again: at once where they worked
  // or nothing did, else after a while.
  async function poll() {
    stop();
    const mine = aborter = new AbortController();
    const { state, error } = await askState(AbortSignal.any([mine.signal, AbortSignal.timeout(pollEvery)]));
    if (aborter !== mine) return;
    if (!state) {
      tell("gone", answered, error);
      promising = true;
      timer = setTimeout(poll, pollEvery);
      return;
    }
    got(state, "polling");
    if (promising || Date.now() - triedEvents > tryEventsEvery) listen();
    else timer = setTimeout(poll, pollEvery);
  }
  const run = () => {
    stop();
    promising = true;
    if (!paused && document.visibilityState === "visible") poll();
  };
  document.addEventListener("visibilitychange", run);
  run();
  return { pause(on) { paused = on; if (on) tell("paused", Date.now()); run(); } };
}
