// Where states come from: events while they work, else asking again and again.

const silence = 5e3; // events that come less often have failed
const pollEvery = 5e3;
const tryEventsEvery = 30e3; // while polling works and events do not

// answerOf returns the gateway's answer. What answers in its place, such as a proxy that
// wants a login, sends a page.
async function answerOf(response) {
  const answer = await response.json().catch(() => null);
  if (!answer) throw new Error(`Not the gateway answered, but something before it, with status ${response.status}. Load this page again: a proxy may want a login.`);
  if (!response.ok) throw new Error(answer.error ?? `The gateway answered ${response.status}.`);
  return answer;
}

// makeFeed calls show with each state, which asks for a whole one by returning false,
// and tell(mode, at) with live, polling, gone (no answer since at) or paused. Nothing
// runs while the page is hidden or paused.
function makeFeed(show, tell) {
  let source = null, timer = 0, asking = null, paused = false, answered = Date.now();
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
    asking?.abort();
    asking = null;
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
    const aborter = new AbortController();
    asking = aborter;
    try {
      const response = await fetch("console/state", { cache: "no-store", signal: AbortSignal.any([aborter.signal, AbortSignal.timeout(pollEvery)]) });
      const state = await answerOf(response);
      if (asking !== aborter) return;
      got(state, "polling");
    } catch {
      if (asking !== aborter) return;
      tell("gone", answered);
      promising = true;
      timer = setTimeout(poll, pollEvery);
      return;
    }
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
