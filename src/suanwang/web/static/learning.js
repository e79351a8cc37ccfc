// The learning page: hours measured over hours predicted, both logarithmic, with the diagonal and each interval.
(() => {
  "use strict";
  const box = document.getElementById("scatter");
  if (!box) return;
  const property = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let chart = null;
  let points = [];
  const draw = () => {
    if (!points.length) return;
    chart = chart || echarts.init(box, null, { renderer: "canvas" });
    const soft = property("--soft");
    const all = points.flatMap((point) => [point.low, point.high, point.measured]);
    const least = 10 ** Math.floor(Math.log10(Math.min(...all)));
    const most = 10 ** Math.ceil(Math.log10(Math.max(...all)) + 1e-9);
    const axis = (name) => ({
      type: "log", name, nameLocation: "middle", nameGap: 30, min: least, max: most,
      nameTextStyle: { color: soft }, axisLine: { lineStyle: { color: soft } }, axisLabel: { color: soft }, splitLine: { lineStyle: { color: property("--edge") } },
    });
    const kinds = [["counted", "--series-0", "circle"], ["outlier", "--bad", "diamond"], ["interrupted", "--soft", "emptyCircle"]];
    chart.setOption({
      animation: false,
      aria: { enabled: true },
      legend: { top: 0, textStyle: { color: property("--text") } },
      grid: { left: 16, right: 24, top: 40, bottom: 40, containLabel: true },
      tooltip: {
        renderMode: "richText", confine: true,
        formatter: ({ data }) => (data.point ? `${data.point.label}\n${data.point.predicted.toPrecision(3)} → ${data.point.measured.toPrecision(3)}` : ""),
      },
      xAxis: axis(box.dataset.predicted),
      yAxis: axis(box.dataset.measured),
      series: [
        { type: "line", name: box.dataset.diagonal, data: [[least, least], [most, most]], showSymbol: false, silent: true, lineStyle: { color: soft, type: "dashed", width: 1.5 }, itemStyle: { color: soft } },
        {
          type: "line", name: box.dataset.interval, connectNulls: false, showSymbol: false, silent: true,
          lineStyle: { color: soft, width: 1, opacity: 0.7 }, itemStyle: { color: soft },
          data: points.flatMap((point) => [[point.low, point.measured], [point.high, point.measured], ["-", "-"]]),
        },
        ...kinds.map(([kind, colour, symbol]) => ({
          type: "scatter", name: box.dataset[kind], symbol, symbolSize: 10, itemStyle: { color: property(colour) },
          data: points.filter((point) => point.kind === kind).map((point) => ({ value: [point.predicted, point.measured], point })),
        })),
      ],
    });
    box.dataset.drawn = String(points.length);
  };
  fetch("/learning/points", { credentials: "same-origin" }).then(async (answer) => {
    if (!answer.ok) return;
    ({ points } = await answer.json());
    draw();
    chart.on("click", ({ data }) => { if (data.point && data.point.job) location.assign(`/jobs/${encodeURIComponent(data.point.job)}`); });
  });
  addEventListener("resize", () => chart && chart.resize());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
