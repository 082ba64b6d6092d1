// Figures as people read them, always with a unit.

const none = "–";

function count(n) {
  return n === null || n === undefined ? none : Math.round(n).toLocaleString("en");
}

// duration writes milliseconds with three digits at most: 0.12 ms, 81.2 ms, 1.24 s, 12 min.
function duration(ms) {
  if (ms === null || ms === undefined) return none;
  if (ms === 0) return "0 ms";
  if (ms < 0.01) return "< 0.01 ms";
  if (ms < 1) return `${trim(ms, 2)} ms`;
  if (ms < 100) return `${trim(ms, 1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 120e3) return `${trim(ms / 1000, ms < 9995 ? 2 : 1)} s`;
  if (ms < 120 * 60e3) return `${Math.round(ms / 60e3)} min`;
  if (ms < 48 * 3600e3) return `${Math.round(ms / 3600e3)} h`;
  return `${Math.round(ms / 86400e3)} days`;
}

// trim rounds to so many digits after the point at most, without zeros at their end.
function trim(value, digits) {
  return String(Number(value.toFixed(digits)));
}

function perSecond(rate) {
  return rate === null || rate === undefined ? none : `${rate < 10 ? trim(rate, 1) : count(rate)} /s`;
}

function percent(share) {
  if (share === 0) return "0 %";
  return share < 0.001 ? "< 0.1 %" : `${trim(share * 100, share < 0.1 ? 1 : 0)} %`;
}

// clock is the time of day in the reader's zone.
function clock(at, seconds = true) {
  return new Date(at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}) });
}

// since is a moment, with the day where it is not today's.
function since(at, now) {
  const day = new Date(at).toDateString() === new Date(now).toDateString() ? "" : `${new Date(at).toLocaleDateString("en-CA")} `;
  return `${day}${clock(at)}`;
}

function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}
