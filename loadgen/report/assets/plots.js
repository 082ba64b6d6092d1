// What the plots show: for each, the series of one line (a class under a
// condition) and the axes. It computes nothing that the report does not hold.
"use strict";
const reportFormat = (() => {
  const number = (v) => (v >= 99.95 ? Math.round(v).toLocaleString("en-US") : v >= 9.995 ? v.toFixed(1) : v.toFixed(2));
  return {
    number,
    milliseconds: (v) => `${number(v)} ms`,
    tick: (v) => (v >= 1000 ? `${v / 1000} s` : v >= 1 ? `${v} ms` : `${Math.round(v * 1000)} µs`),
    nines: (x) => (!Number.isInteger(x) ? "" : x === 0 ? "0 %" : `${(100 - 10 ** (2 - x)).toFixed(Math.max(0, x - 2))} %`),
  };
})();

// Percentiles lie on the HDR scale: equal steps for each further nine.
const percentileScale = (() => {
  const { milliseconds, tick, nines } = reportFormat;
  const hdr = (percentile) => -Math.log10(1 - percentile / 100);
  // A log scale has no 0.
  const above0 = (v) => (v > 0 ? v : null);
  const logTime = { type: "log", axisLabel: { formatter: tick } };
  return {
    above0,
    logTime,
    // The maximum lies where the last of so many answers does: 100 % would be infinitely
    // far to the right.
    curve: (points, count, of = (p) => [above0(p.ms)]) => {
      const last = Math.log10(Math.max(count, 1));
      return (points || []).map((p, i) => [p.percentile < 100 ? hdr(p.percentile) : Math.max(last, i ? hdr(Math.min(points[i - 1].percentile, 99.99999)) : 0), ...of(p)]);
    },
    axes: {
      x: { type: "value", interval: 1, min: 0, axisLabel: { formatter: nines } },
      y: logTime,
      title: (x) => `${(100 - 10 ** (2 - x)).toFixed(x < 2 ? 1 : Math.ceil(x))} %`,
      value: milliseconds,
      rule: true,
    },
  };
})();

const reportPlots = (report, lines) => {
  const { milliseconds } = reportFormat;
  const { above0, curve, logTime } = percentileScale;
  const bucketMiddle = 10 ** -0.05;
  // The last answer ends its second early if it came after the load: as a rate that
  // would look like a collapse.
  const wholeSeconds = (l) => {
    const series = l.result.series || [];
    return series.at(-1)?.second + 1 > l.run.duration_seconds ? series.slice(0, -1) : series;
  };
  const each = (c, value) => (c.series || []).map((t) => [t.second, t.done ? above0(value(t)) : null]);
  // A second between two without an answer has no line to be on: it is a dot.
  const dotted = (data, size) => {
    const none = (i) => i < 0 || i >= data.length || data[i][1] === null;
    const alone = (i) => !none(i) && none(i - 1) && none(i + 1);
    return data.some((_, i) => alone(i)) ? { data, symbol: "circle", size: (_, { dataIndex }) => (alone(dataIndex) ? size : 0) } : { data };
  };
  const seconds = { type: "value", min: 0, minInterval: 1, axisLabel: { formatter: "{value} s" } };
  const rate = { type: "value", min: 0, minInterval: 1 };
  const second = (x) => `second ${x}`;

  // Plots with a row for each line: its place is its index among those shown.
  const rows = (shown, { narrow }) => ({
    type: "category", data: shown.map((l) => l.label), inverse: true,
    axisLabel: { width: narrow ? 110 : 170, overflow: "break", formatter: (label) => label.replace(", ", ",\n") },
  });
  // Long labels take more than two lines.
  const height = (lines) => Math.max(8, (lines.some((l) => l.label.length > 36) ? 4.4 : 3.2) * lines.length + 3);

  // Where the time went: the queue's part of the mean service time. Both must be of
  // the same answers.
  const told = (c) => c.queue.count > 0 && c.queue.count >= 0.99 * c.service.count;
  const parts = (c) => [c.queue.mean_ms, Math.max(c.service.mean_ms - c.queue.mean_ms, 0)];
  const untold = "of the answers told how long they waited. The gateway sends it in Server-Timing with “expose: all” in its configuration, or to networks that it trusts.";
  // Runs that were ended early count only where there are no others.
  const wholeRuns = (condition) => {
    const all = report.runs.filter((run) => run.condition === condition), whole = all.filter((run) => !run.interrupted);
    return whole.length ? whole : all;
  };
  const runsOf = (line) => wholeRuns(line.conditionName)
    .flatMap((run) => run.classes).filter((c) => c.name === line.result.name && c.latency.count > 0)
    .map((c) => c.latency.p99_ms).filter((v) => v > 0).sort((a, b) => a - b);

  return {
    percentiles: {
      series: (l) => [
        { data: curve(l.result.service_curve, l.result.service.count), thin: "service" },
        { data: curve(l.result.curve, l.result.latency.count) },
      ],
      ...percentileScale.axes,
    },
    latency: {
      series: (l) => [
        { ...dotted(each(l.result, (t) => t.p50_ms), 4), thin: "p50" },
        { ...dotted(each(l.result, (t) => t.p99_ms), 8), name: "p99" },
      ],
      x: seconds, y: logTime, title: second, value: milliseconds, overTime: true,
    },
    distribution: {
      series: (l) => {
        const share = (l.result.distribution || []).map((b) => [b.up_to_ms * bucketMiddle, (100 * b.count) / l.result.latency.count]);
        if (share.length === 0) return [];
        const step = 10 ** 0.1;
        return [{ data: [[share[0][0] / step, 0], ...share, [share.at(-1)[0] * step, 0]] }];
      },
      x: logTime,
      y: { type: "value", min: 0, axisLabel: { formatter: "{value} %" } },
      title: (x) => `about ${milliseconds(x)}`,
      value: (v) => `${v.toFixed(1)} %`,
      area: true,
      trigger: "item",
    },
    done: {
      series: (l) => [
        ...(l.result.objective_ms > 0 ? [{ data: wholeSeconds(l).map((t) => [t.second, t.good]), thin: "within objective" }] : []),
        { data: wholeSeconds(l).map((t) => [t.second, t.done]) },
      ],
      x: seconds, y: rate, title: second, value: (v) => `${v}/s`, overTime: true,
    },
    refused: {
      series: (l) => [{ data: wholeSeconds(l).map((t) => [t.second, t.shed + t.failed]) }],
      x: seconds, y: rate, title: second, value: (v) => `${v}/s`, overTime: true,
      empty: report.runs.every((run) => lines.some((l) => l.run === run)) ? "Nothing was shed and nothing failed."
        : "Nothing was shed and nothing failed in the runs that are shown. The table counts those of all runs.",
    },
    queue: {
      series: (l) => (l.result.queue.count ? [dotted((l.result.series || []).map((t) => [t.second, t.done ? t.queue_mean_ms : null]), 8)] : []),
      x: seconds, y: { type: "value", min: 0, axisLabel: { formatter: "{value} ms" } },
      title: second, value: milliseconds, overTime: true,
      empty: `None ${untold}`,
    },
    share: {
      rows, height,
      series: (l, i) => (told(l.result) ? parts(l.result).map((v, rest) => (
        { type: "bar", stack: `time ${i}`, data: [[v, i]], name: rest ? "the rest" : "in the gateway's queue", pale: rest === 1 })) : []),
      x: { type: "value", min: 0, axisLabel: { formatter: "{value} ms" } },
      value: milliseconds, trigger: "item",
      empty: `None, or not all, ${untold}`,
    },
    spread: {
      rows, height,
      series: (l, i) => {
        const p99s = runsOf(l);
        if (p99s.length === 0) return [];
        return [
          { data: [[p99s[0], i], [p99s.at(-1), i]], name: "range" },
          { type: "scatter", data: p99s.map((v) => [v, i]), name: "a run", size: 8, pale: true },
          { type: "scatter", data: [[above0(l.result.latency.p99_ms), i]], name: "run in the other plots", size: 14 },
        ];
      },
      x: logTime, value: milliseconds, trigger: "item", rule: true,
    },
  };
};
