// Draws the plots of the report from the JSON in the page.
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const guide = JSON.parse(document.getElementById("guide").textContent);

  // One line for each class in each condition: colour by class, dash by
  // condition; the last condition is solid.
  const names = [...new Set(guide.lines.map((l) => l.class))];
  const conditions = [...new Set(report.runs.map((run) => run.condition))];
  const dashes = ["dashed", "dotted", [10, 4, 2, 4]];
  const dashOf = (condition) => (condition === conditions.length - 1 ? "solid" : dashes[condition % dashes.length]);
  const classKey = (name) => `class ${name}`, conditionKey = (condition) => `condition ${condition}`;
  const lines = guide.lines.map((l) => ({
    keys: [classKey(l.class), conditionKey(l.condition)],
    run: report.runs[l.run],
    result: report.runs[l.run].classes.find((c) => c.name === l.class),
    conditionName: conditions[l.condition],
    color: names.indexOf(l.class),
    dash: dashOf(l.condition),
    strong: l.condition === conditions.length - 1,
    label: conditions.length > 1 ? `${l.class}, ${conditions[l.condition]}` : l.class,
  }));

  // Answers go on coming after the last request: say where the load ended.
  const loadEnd = Math.max(...report.runs.map((run) => run.duration_seconds));
  const endMark = (soft) => ({
    silent: true,
    symbol: "none",
    animation: false,
    data: [{ xAxis: loadEnd }],
    lineStyle: { color: soft, type: "solid", width: 1 },
    label: { formatter: "end of load", color: soft, fontSize: 11, position: "end", distance: 4, align: "right" },
  });
  // Phases are bands behind the lines: every second one is shaded.
  const phases = report.runs.find((run) => (run.phases || []).length > 1)?.phases || [];
  const bands = (soft) => ({
    silent: true,
    animation: false,
    label: { color: soft, fontSize: 11, position: "insideTop" },
    data: phases.map((p, i) => [
      { name: p.name, xAxis: p.start_seconds, itemStyle: { color: soft, opacity: i % 2 ? 0.12 : 0.03 } },
      { xAxis: p.end_seconds },
    ]),
  });

  const buttons = [names.map((name, i) => ({ key: classKey(name), mark: reportMark("swatch"), parts: [name], color: i }))];
  if (conditions.length > 1) {
    buttons.push(conditions.map((name, i) => ({ key: conditionKey(i), mark: reportMark("stroke", dashOf(i)), parts: [name] })));
  }
  const marks = (soft) => ({ markLine: endMark(soft), markArea: phases.length ? bands(soft) : undefined });
  const charts = Object.entries(reportPlots(report, lines)).map(([id, plot]) => (
    { id, plot: plot.overTime ? { ...plot, marks } : plot, lines }));
  reportCharts({ palette: guide.palette, charts, buttons });
})();
