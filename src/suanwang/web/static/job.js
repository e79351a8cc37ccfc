// A job's page: its log and curve as they grow. Everything a job wrote is set as text, never as markup.
(() => {
  "use strict";
  const job = document.getElementById("job");
  const log = document.getElementById("log");
  const follow = document.getElementById("follow");
  const state = document.getElementById("log-state");
  const base = `/jobs/${encodeURIComponent(job.dataset.id)}`;
  const MOST_PIECES = 4000;
  const fill = (pattern, values) => pattern.replace(/\{(\w+)\}/g, (_, name) => values[name]);

  let run = null;
  const write = (piece) => {
    if (piece.run !== run) {
      run = piece.run;
      const mark = document.createElement("span");
      mark.className = "mark";
      mark.textContent = `── ${fill(job.dataset.runLabel, piece)} ──`;
      log.append(mark);
    }
    const part = document.createElement("span");
    if (piece.stream === "stderr") part.className = "stderr";
    part.textContent = piece.text;
    log.append(part);
    while (log.childElementCount > MOST_PIECES) log.firstElementChild.remove();
    if (follow.checked) log.scrollTop = log.scrollHeight;
  };

  const charts = new Map();
  const property = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const draw = (figure, index) => {
    let chart = charts.get(figure.name);
    if (!chart) {
      const box = document.createElement("div");
      document.getElementById("curves").append(box);
      chart = echarts.init(box, null, { renderer: "canvas" });
      charts.set(figure.name, chart);
    }
    const colour = property(`--series-${index % 4}`);
    const soft = property("--soft");
    const axis = { axisLine: { lineStyle: { color: soft } }, axisLabel: { color: soft }, splitLine: { lineStyle: { color: property("--edge") } } };
    chart.setOption({
      animation: false,
      aria: { enabled: true },
      title: { text: figure.name, left: 0, textStyle: { color: property("--text"), fontSize: 13 } },
      grid: { left: 8, right: 24, top: 40, bottom: 24, containLabel: true },
      tooltip: { trigger: "axis", renderMode: "richText", confine: true },
      xAxis: { type: "value", name: job.dataset.stepLabel, nameLocation: "middle", nameGap: 26, nameTextStyle: { color: soft }, min: "dataMin", max: "dataMax", minInterval: 1, ...axis },
      yAxis: { type: "value", scale: true, ...axis },
      series: figure.lines.map((line, number) => ({
        type: "line",
        name: fill(job.dataset.runLabel, line),
        data: line.points,
        showSymbol: line.points.length < 40,
        symbolSize: 5,
        lineStyle: { color: colour, width: 2, type: number % 2 ? "dashed" : "solid" },
        itemStyle: { color: colour },
        markLine: number
          ? { symbol: "none", silent: true, lineStyle: { color: soft, type: "dotted" }, label: { color: soft, formatter: fill(job.dataset.resumedLabel, line) }, data: [{ xAxis: line.first }] }
          : undefined,
      })),
    }, { replaceMerge: ["series"] });
  };
  const tabulate = (figures) => {
    const rows = figures.flatMap((figure) => figure.lines.map((line) => {
      const row = document.createElement("tr");
      const [step, value] = line.points[line.points.length - 1];
      for (const [index, cell] of [figure.name, `${line.run} · ${line.site}`, String(step), value.toPrecision(4)].entries()) {
        const box = document.createElement(index ? "td" : "th");
        box.textContent = cell;
        if (index > 1) box.className = "num"; else if (!index) box.scope = "row";
        row.append(box);
      }
      return row;
    }));
    document.querySelector("#figures tbody").replaceChildren(...rows);
  };
  let asked = false;
  let again = false;
  const refreshCurves = async () => {
    if (asked) { again = true; return; }
    asked = true;
    try {
      const answer = await fetch(`${base}/points`, { credentials: "same-origin" });
      if (answer.ok) {
        const { figures } = await answer.json();
        if (figures.length) {
          document.getElementById("curve-section").hidden = false;
          figures.forEach(draw);
          tabulate(figures);
          job.dataset.drawn = String(figures.reduce((sum, figure) => sum + figure.lines.reduce((n, line) => n + line.points.length, 0), 0));
        }
      }
    } finally {
      asked = false;
      if (again) { again = false; refreshCurves(); }
    }
  };
  addEventListener("resize", () => charts.forEach((chart) => chart.resize()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refreshCurves);

  const source = new EventSource(`${base}/stream`);
  source.onopen = () => { state.textContent = state.dataset.live; };
  source.onerror = () => { state.textContent = state.dataset.lost; };
  source.addEventListener("log", (event) => write(JSON.parse(event.data)));
  source.addEventListener("points", refreshCurves);
  source.addEventListener("changed", () => htmx.trigger(document.body, "job-changed"));
  source.addEventListener("end", () => {
    source.close();
    state.textContent = state.dataset.done;
    htmx.trigger(document.body, "job-changed");
  });
})();
