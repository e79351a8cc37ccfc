// A site's page: what an hour of each device cost and will cost.
(() => {
  "use strict";
  const box = document.getElementById("asked");
  if (!box) return;
  const property = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let chart = null;
  let told = null;
  const draw = () => {
    if (!told) return;
    chart = chart || echarts.init(box, null, { renderer: "canvas" });
    const soft = property("--soft");
    const series = told.series.map((each, at) => ({
      type: "line", step: "end", name: each.name, showSymbol: false, data: each.points,
      lineStyle: { color: property(`--series-${at % 4}`), width: 2 }, itemStyle: { color: property(`--series-${at % 4}`) },
    }));
    series[0].markLine = {
      symbol: "none", silent: true, lineStyle: { color: soft, type: "dotted" }, label: { color: soft, formatter: box.dataset.now }, data: [{ xAxis: told.now }],
    };
    chart.setOption({
      animation: false,
      aria: { enabled: true },
      legend: { top: 0, textStyle: { color: property("--text") } },
      grid: { left: 8, right: 16, top: 40, bottom: 8, containLabel: true },
      tooltip: { trigger: "axis", renderMode: "richText", confine: true, valueFormatter: (yuan) => `¥${yuan}` },
      xAxis: { type: "time", axisLine: { lineStyle: { color: soft } }, axisLabel: { color: soft }, splitLine: { show: false } },
      yAxis: { type: "value", name: "¥/h", min: 0, nameTextStyle: { color: soft }, axisLabel: { color: soft }, splitLine: { lineStyle: { color: property("--edge") } } },
      series,
    }, true);
    box.dataset.drawn = String(told.series.length);
  };
  fetch(`/sites/${encodeURIComponent(box.dataset.id)}/asked`, { credentials: "same-origin" }).then(async (answer) => {
    if (!answer.ok) return;
    told = await answer.json();
    draw();
  });
  addEventListener("resize", () => chart && chart.resize());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
