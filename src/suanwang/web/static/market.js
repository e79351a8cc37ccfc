// The market page: the supply of one hour as steps, and what the device was traded at, point by point.
(() => {
  "use strict";
  const depth = document.getElementById("depth");
  const history = document.getElementById("history");
  if (!depth || !history) return;
  const property = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const charts = new Map();
  let found = { steps: [], points: [] };
  const axis = (name, more = {}) => {
    const soft = property("--soft");
    return {
      name, nameLocation: "middle", nameGap: 34, nameTextStyle: { color: soft }, axisLine: { lineStyle: { color: soft } },
      axisLabel: { color: soft, hideOverlap: true }, splitLine: { lineStyle: { color: property("--edge") } }, ...more,
    };
  };
  const show = (box, count, options) => {
    box.dataset.drawn = String(count);
    if (!count) {
      box.textContent = box.dataset.empty;
      return;
    }
    const chart = charts.get(box) || echarts.init(box, null, { renderer: "canvas" });
    charts.set(box, chart);
    chart.setOption({ animation: false, aria: { enabled: true }, grid: { left: 24, right: 24, top: 40, bottom: 44, containLabel: true }, ...options });
  };
  const draw = () => {
    const { steps, points } = found;
    const text = { color: property("--text") };
    const line = steps.flatMap((step) => [[step.from, step.yuan], [step.to, step.yuan]]);
    show(depth, steps.length, {
      tooltip: { trigger: "axis", renderMode: "richText", confine: true },
      xAxis: { type: "value", ...axis(depth.dataset.units, { minInterval: 1 }) },
      yAxis: { type: "value", ...axis(depth.dataset.price) },
      series: [{ type: "line", name: depth.dataset.price, data: line, showSymbol: false, areaStyle: { opacity: 0.15 }, lineStyle: { color: property("--series-0"), width: 2 }, itemStyle: { color: property("--series-0") } }],
    });
    const kinds = [[true, history.dataset.called, "--series-1", "diamond"], [false, history.dataset.posted, "--series-0", "circle"]];
    show(history, points.length, {
      legend: { top: 0, textStyle: text },
      tooltip: { renderMode: "richText", confine: true, formatter: ({ data }) => `${data.site}\n¥${data.value[1].toFixed(2)} × ${data.hours}` },
      xAxis: { type: "time", ...axis("") },
      yAxis: { type: "value", scale: true, ...axis(history.dataset.price) },
      series: kinds.map(([called, name, colour, symbol]) => ({
        type: "scatter", name, symbol, symbolSize: 9, itemStyle: { color: property(colour) },
        data: points.filter((point) => point.called === called).map((point) => ({ value: [point.at, point.yuan], site: point.site, hours: point.unit_hours })),
      })),
    });
  };
  const { device, at, place } = depth.dataset;
  fetch(`/market/figures?${new URLSearchParams({ device, at, place })}`, { credentials: "same-origin" }).then(async (answer) => {
    if (!answer.ok) return;
    found = await answer.json();
    draw();
  });
  addEventListener("resize", () => charts.forEach((chart) => chart.resize()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
