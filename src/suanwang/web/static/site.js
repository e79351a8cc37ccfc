// A site's page: today's price of electricity and its carbon, half hour by half hour.
(() => {
  "use strict";
  const box = document.getElementById("day");
  if (!box) return;
  const property = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const clock = (hours) => `${Math.floor(hours)}:${hours % 1 ? "30" : "00"}`;
  let chart = null;
  let day = null;
  const draw = () => {
    if (!day) return;
    chart = chart || echarts.init(box, null, { renderer: "canvas" });
    const soft = property("--soft");
    const steps = day.carbon.map((_, at) => at * day.step_h);
    const stairs = (values) => [...values.map((value, at) => [steps[at], value]), [24, values[values.length - 1]]];
    const axis = (name, at, colour) => ({
      type: "value", name, position: at, min: 0, nameTextStyle: { color: soft }, axisLine: { show: true, lineStyle: { color: colour } },
      axisLabel: { color: soft }, splitLine: { show: at === "left", lineStyle: { color: property("--edge") } },
    });
    const line = (name, values, colour, yAxisIndex, type) => ({
      type: "line", step: "end", name, yAxisIndex, showSymbol: false, data: stairs(values),
      lineStyle: { color: colour, width: 2, type }, itemStyle: { color: colour },
    });
    const series = [line(box.dataset.carbon, day.carbon, property("--series-1"), day.yuan ? 1 : 0, "dashed")];
    if (day.yuan) series.unshift(line(box.dataset.price, day.yuan, property("--series-0"), 0, "solid"));
    series[0].markLine = {
      symbol: "none", silent: true, lineStyle: { color: soft, type: "dotted" }, label: { color: soft, formatter: box.dataset.now }, data: [{ xAxis: day.now_h }],
    };
    const carbon = axis("g/kWh", day.yuan ? "right" : "left", property("--series-1"));
    chart.setOption({
      animation: false,
      aria: { enabled: true },
      legend: { top: 0, textStyle: { color: property("--text") } },
      grid: { left: 8, right: 16, top: 56, bottom: 8, containLabel: true },
      tooltip: {
        trigger: "axis", renderMode: "richText", confine: true,
        formatter: (points) => {
          const at = Math.min(day.carbon.length - 1, Math.floor(points[0].value[0] / day.step_h));
          const price = day.yuan ? `¥${day.yuan[at]}/kWh ${day.tiers[at]}\n` : "";
          return `${clock(steps[at])}\n${price}${Math.round(day.carbon[at])} g/kWh`;
        },
      },
      xAxis: { type: "value", min: 0, max: 24, interval: 4, axisLine: { lineStyle: { color: soft } }, axisLabel: { color: soft, formatter: clock }, splitLine: { show: false } },
      yAxis: day.yuan ? [axis("¥/kWh", "left", property("--series-0")), carbon] : [carbon],
      series,
    }, true);
    box.dataset.drawn = String(day.carbon.length);
  };
  const read = () => fetch(`/sites/${encodeURIComponent(box.dataset.id)}/day`, { credentials: "same-origin" }).then(async (answer) => {
    if (!answer.ok) return;
    day = await answer.json();
    draw();
  });
  read();
  setInterval(() => document.hidden || read(), 10 * 60 * 1000);
  addEventListener("resize", () => chart && chart.resize());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
