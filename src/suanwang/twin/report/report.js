// The report's pictures, drawn from the figures that are embedded in the page. Texts are set as text, never as markup.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("figures").textContent);
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const HOUR = 3600000, ZONE = 8 * HOUR;
  const TICKS = [1, 10, 60, 600, 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400];
  const SYMBOLS = ["circle", "rect", "triangle", "diamond", "pin", "arrow", "roundRect", "emptyCircle"];
  const WORDS = {
    en: {
      other: "中文", cost: "Cost", carbon: "Carbon, location-based", wait: "mean waiting", load: "Load", price: "Price", grid: "Grid carbon", capacity: "in use", queue: "waiting",
      atMost: "waited at most", share: "share of jobs", front: "front", seed: "seed", play: "Play", pause: "Pause", held: "dominant share",
    },
    zh: {
      other: "English", cost: "成本", carbon: "碳排放（基于位置）", wait: "平均等待", load: "负荷", price: "电价", grid: "电网碳强度", capacity: "使用率", queue: "排队",
      atMost: "等待不超过", share: "作业占比", front: "前沿", seed: "种子", play: "播放", pause: "暂停", held: "主导份额",
    },
  };
  let language = root.dataset.lang;
  let chosen = 0;
  const word = (name) => WORDS[language][name];
  const named = (both) => both[language];
  const property = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const colour = (at) => property(`--series-${at % 8}`);
  const figure = (value) => (value === null || value === undefined || !Number.isFinite(value) ? "–" : Number(value.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 6 }));
  const percent = (share) => `${Math.round(100 * share)} %`;
  const duration = (s) => (s < 60 ? `${figure(s)} s` : s < 3600 ? `${figure(s / 60)} min` : s < 86400 ? `${figure(s / 3600)} h` : `${figure(s / 86400)} d`);
  const instant = (ms) => new Date(ms + ZONE).toISOString().slice(5, 16).replace("T", " ");
  const caseNow = () => data.cases[chosen];

  const charts = {};
  const chart = (id, option) => {
    charts[id] = charts[id] || echarts.init($(id), null, { renderer: "canvas" });
    const text = property("--text");
    charts[id].setOption({
      animation: false, aria: { enabled: true }, textStyle: { fontFamily: "inherit" },
      tooltip: { renderMode: "richText", confine: true, backgroundColor: property("--panel"), borderColor: property("--edge"), textStyle: { color: text, fontSize: 12 } },
      ...option,
    }, true);
    $(id).dataset.drawn = "1";
  };
  const axis = (name, { axisLabel = {}, ...more } = {}) => ({
    name, nameLocation: "middle", nameTextStyle: { color: property("--soft") }, axisLine: { lineStyle: { color: property("--soft") } },
    splitLine: { lineStyle: { color: property("--edge") } }, axisLabel: { color: property("--soft"), hideOverlap: true, ...axisLabel }, ...more,
  });
  const legend = () => ({ type: "scroll", top: 0, textStyle: { color: property("--text") }, pageTextStyle: { color: property("--soft") } });
  const units = (unit) => (named(unit) ? `, ${named(unit)}` : "");

  const pareto = () => {
    const { points, front, bounds, units: [x, y] = [] } = caseNow().pareto;
    $("pareto-panel").hidden = !points.length;
    if (!points.length) return;
    const longest = Math.max(...points.map((p) => p.wait || 0));
    const size = (p) => (longest > 0 && p.wait !== null ? 9 + 37 * Math.sqrt(Math.max(p.wait, 0) / longest) : 14);
    const soft = property("--soft");
    const lines = bounds.flatMap((bound) => [bound.x !== null && bound.y === null ? { xAxis: bound.x, name: named(bound.name) } : null, bound.y !== null && bound.x === null ? { yAxis: bound.y, name: named(bound.name) } : null].filter(Boolean));
    const alike = (p) => points.filter((other) => other.x === p.x && other.y === p.y);
    const crosses = points.flatMap((p) => [...(p.dx ? [[Math.max(0, p.x - p.dx), p.y], [p.x + p.dx, p.y], ["-", "-"]] : []), ...(p.dy ? [[p.x, Math.max(0, p.y - p.dy)], [p.x, p.y + p.dy], ["-", "-"]] : [])]);
    chart("pareto", {
      legend: legend(),
      grid: { left: 24, right: 40, top: 60, bottom: 36, containLabel: true },
      xAxis: axis(`${word("cost")}${units(x)}`, { type: "value", scale: true, nameGap: 32 }),
      yAxis: axis(`${word("carbon")}${units(y)}`, { type: "value", scale: true, nameLocation: "end", nameTextStyle: { color: soft, align: "left" } }),
      series: [
        { type: "line", name: word("front"), data: front.map((at) => [points[at].x, points[at].y]), symbol: "none", silent: true, lineStyle: { type: "dashed", color: soft, width: 1.5 }, itemStyle: { color: soft },
          markLine: { silent: true, symbol: "none", lineStyle: { type: "dotted", color: property("--accent"), width: 2 }, label: { formatter: ({ name }) => name, color: soft, position: "insideEndTop" }, data: lines } },
        { type: "line", data: crosses, connectNulls: false, symbol: "none", silent: true, lineStyle: { color: soft, width: 1 } },
        ...points.map((p) => ({
          type: "scatter", name: data.contenders[p.of], symbolSize: size(p), itemStyle: { color: colour(p.of), opacity: 0.75, borderColor: property("--panel"), borderWidth: 1 },
          label: { show: points.length <= 12 && alike(p)[0] === p, formatter: alike(p).map((other) => data.contenders[other.of]).join(", "), position: "top", color: property("--text"), fontSize: 11 }, labelLayout: { hideOverlap: true, moveOverlap: "shiftY" },
          data: [{ value: [p.x, p.y], p }],
        })),
        ...bounds.filter((b) => b.x !== null && b.y !== null).map((b) => ({ type: "scatter", name: named(b.name), symbol: "diamond", symbolSize: 14, itemStyle: { color: property("--accent") }, data: [{ value: [b.x, b.y], name: named(b.name) }] })),
      ],
      tooltip: { renderMode: "richText", confine: true, formatter: ({ seriesName, data: { value, p } }) => `${seriesName}\n${word("cost")}: ${figure(value[0])} ${named(x)}\n${word("carbon")}: ${figure(value[1])} ${named(y)}${p && p.wait !== null ? `\n${word("wait")}: ${duration(p.wait)}` : ""}` },
    });
  };

  const share = (play, site, bin) => {
    const busy = play.busy[site][bin];
    return busy === null ? null : Math.min(1, busy / (data.capacity[site] * caseNow().capacity || 1));
  };
  const rgb = (name) => property(name).split(" ").map(Number);
  const heats = () => {
    const plays = caseNow().plays;
    $("heat-panel").hidden = !plays.length;
    const box = $("heats");
    box.replaceChildren();
    const [from, to] = [rgb("--heat-0"), rgb("--heat-1")];
    for (const play of plays) {
      const heat = document.createElement("div");
      heat.className = "heat";
      const title = document.createElement("h3");
      title.textContent = `${data.contenders[play.of]}`;
      const rows = document.createElement("ul");
      for (const site of data.sites) {
        const row = document.createElement("li");
        row.textContent = named(site.name);
        rows.append(row);
      }
      const canvas = document.createElement("canvas");
      const bins = play.busy[0].length;
      canvas.width = bins;
      canvas.height = 8 * data.sites.length;
      canvas.style.height = `${16 * data.sites.length}px`;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${document.getElementById("heat-title").innerText}: ${data.contenders[play.of]}`);
      const pen = canvas.getContext("2d");
      data.sites.forEach((_, site) => {
        for (let bin = 0; bin < bins; bin++) {
          const used = share(play, site, bin);
          pen.fillStyle = used === null ? property("--ground") : `rgb(${from.map((f, at) => Math.round(f + (to[at] - f) * used)).join(" ")})`;
          pen.fillRect(bin, site * 8, 1, 7);
        }
      });
      canvas.addEventListener("mousemove", (event) => {
        const frame = canvas.getBoundingClientRect();
        const bin = Math.min(bins - 1, Math.max(0, Math.floor(((event.clientX - frame.left) / frame.width) * bins)));
        const site = Math.min(data.sites.length - 1, Math.max(0, Math.floor(((event.clientY - frame.top) / frame.height) * data.sites.length)));
        const used = share(play, site, bin);
        $("heat-said").textContent = `${data.contenders[play.of]} · ${named(data.sites[site].name)} · ${instant(play.start + bin * play.step)}: ${used === null ? "–" : percent(used)}, ${word("queue")} ${figure(play.queue[site][bin])}`;
      });
      const days = document.createElement("div");
      days.className = "days";
      const span = bins * play.step, day = 24 * HOUR;
      const every = Math.max(1, Math.ceil(span / day / 7)) * day;
      for (let at = Math.ceil((play.start + ZONE) / day) * day - ZONE; at < play.start + span; at += every) {
        const mark = document.createElement("span");
        mark.textContent = instant(at).slice(0, 5);
        mark.style.left = `${(100 * (at - play.start)) / span}%`;
        days.append(mark);
      }
      heat.append(title, rows, canvas, days);
      box.append(heat);
    }
  };

  // The map: positions are fitted into the canvas and pushed apart until circles and labels have room.
  const SVG = "http://www.w3.org/2000/svg";
  const shape = (name, attributes, text) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  // CJK characters are twice as wide.
  const short = (text) => { let room = 12, cut = 0; for (const letter of text) { room -= letter > "\u2e7f" ? 2 : 1; if (room < 0) return `${text.slice(0, cut)}…`; cut += letter.length; } return text; };
  let spots = [];
  const place = () => {
    const known = data.sites.map((site, at) => ({ site, at })).filter(({ site }) => site.lon !== null && site.lat !== null);
    if (!known.length) return;
    const lons = known.map(({ site }) => site.lon), lats = known.map(({ site }) => site.lat);
    const mid = (values) => (Math.min(...values) + Math.max(...values)) / 2;
    const squeeze = Math.cos((mid(lats) * Math.PI) / 180);
    const scale = Math.min(620 / (Math.max(6, Math.max(...lons) - Math.min(...lons)) * squeeze), 350 / Math.max(6, Math.max(...lats) - Math.min(...lats)));
    const most = Math.max(...known.map(({ at }) => data.capacity[at]));
    spots = known.map(({ at, site }) => ({ at, x: 400 + (site.lon - mid(lons)) * squeeze * scale, y: 240 - (site.lat - mid(lats)) * scale, r: 11 + 19 * Math.sqrt(data.capacity[at] / most) }));
    for (let round = 0; round < 80; round++) {
      for (const [i, a] of spots.entries()) for (const [j, b] of spots.entries()) {
        if (j <= i) continue;
        const dx = b.x - a.x, dy = b.y - a.y, far = Math.hypot(dx, dy), missing = a.r + b.r + 42 - far;
        if (missing <= 0) continue;
        const turn = far > 1e-6 ? Math.atan2(dy, dx) : (i + j) * 2.4;
        a.x -= (Math.cos(turn) * missing) / 2; a.y -= (Math.sin(turn) * missing) / 2;
        b.x += (Math.cos(turn) * missing) / 2; b.y += (Math.sin(turn) * missing) / 2;
      }
      for (const spot of spots) { spot.x = Math.min(740, Math.max(60, spot.x)); spot.y = Math.min(430, Math.max(40, spot.y)); }
    }
  };
  const map = () => {
    const plays = caseNow().plays;
    $("map-panel").hidden = !plays.length || !spots.length;
    if ($("map-panel").hidden) return;
    const play = plays[Math.min($("map-policy").value || 0, plays.length - 1)];
    const bins = play.busy[0].length;
    $("hour").max = bins - 1;
    const bin = Math.min(Number($("hour").value), bins - 1);
    const told = `${instant(play.start + bin * play.step)} UTC+8`;
    $("hour-said").textContent = told;
    $("hour").setAttribute("aria-valuetext", told);
    const all = play.carbon.flat().filter((value) => value !== null);
    const low = Math.min(...all), high = Math.max(...all);
    const svg = $("map");
    svg.replaceChildren();
    for (const { at, x, y, r } of spots) {
      const used = share(play, at, bin) ?? 0, carbon = play.carbon[at][bin];
      const step = carbon === null ? null : high > low ? Math.min(4, Math.floor((5 * (carbon - low)) / (high - low))) : 2;
      svg.append(
        shape("circle", { class: "ring", cx: x, cy: y, r }),
        shape("circle", { cx: x, cy: y, r: Math.max(0.5, r * Math.sqrt(used)), fill: property(step === null ? "--none" : `--carbon-${step}`) }),
        shape("text", { x, y: y - r - 7, "text-anchor": "middle" }, short(named(data.sites[at].name))),
        shape("text", { class: "said", x, y: y + r + 17, "text-anchor": "middle" }, `${percent(used)}${play.queue[at][bin] ? ` · ${figure(play.queue[at][bin])} ${word("queue")}` : ""}`),
      );
    }
  };

  const site = () => {
    const plays = caseNow().plays;
    const at = Number($("site").value || 0);
    $("site-panel").hidden = !plays.length;
    if (!plays.length) return;
    const rows = [["load", "kw", "kW"], ["price", "price", language === "zh" ? "元/kWh" : "yuan/kWh"], ["grid", "carbon", "g/kWh"]].filter(([, key]) => plays.some((play) => play[key][at].some((value) => value !== null)));
    const tall = 100 / rows.length;
    const soft = property("--soft");
    const series = [];
    // Of many policies two are shown at first: the baseline and the network's own, or the last.
    const shownBeside = (plays.find((play) => data.contenders[play.of] === "joint") || plays[plays.length - 1]).of;
    rows.forEach(([name, key], row) => {
      for (const play of key === "kw" ? plays : plays.slice(0, 1)) {
        // The axis counts in UTC, so what it shows is moved to the zone.
        const points = play[key][at].map((value, bin) => [play.start + ZONE + bin * play.step, value]);
        const name_ = key === "kw" ? data.contenders[play.of] : word(name);
        const hue = key === "kw" ? colour(play.of) : key === "price" ? property("--warn") : property("--carbon-3");
        series.push({ type: "line", step: "end", symbol: "none", name: name_, xAxisIndex: row, yAxisIndex: row, data: points, lineStyle: { width: 1.5, color: hue }, itemStyle: { color: hue } });
      }
    });
    chart("site-chart", {
      useUTC: true,
      legend: { ...legend(), data: plays.map((play) => data.contenders[play.of]), selected: Object.fromEntries(plays.map((play) => [data.contenders[play.of], plays.length <= 3 || play.of === caseNow().baseline || play.of === shownBeside])) },
      axisPointer: { link: [{ xAxisIndex: "all" }] },
      tooltip: { trigger: "axis", renderMode: "richText", confine: true, formatter: (items) => [instant(items[0].value[0] - ZONE), ...items.map((item) => `${item.seriesName}: ${figure(item.value[1])}`)].join("\n") },
      grid: rows.map((_, row) => ({ left: 12, right: 20, top: `${row * tall * 0.94 + 9}%`, height: `${tall * 0.94 - 8}%`, containLabel: true })),
      xAxis: rows.map((_, row) => axis("", { type: "time", gridIndex: row, axisLabel: { show: row === rows.length - 1, formatter: (ms) => instant(ms - ZONE).slice(...(instant(ms - ZONE).endsWith("00:00") ? [0, 5] : [6])) } })),
      yAxis: rows.map(([name, , unit], row) => axis(`${word(name)}, ${unit}`, { type: "value", gridIndex: row, scale: row > 0, splitNumber: 3, nameLocation: "end", nameTextStyle: { color: soft, align: "left" } })),
      series,
    });
  };

  const shares = () => {
    const plays = caseNow().plays.filter((play) => play.shares);
    $("shares-panel").hidden = !plays.length;
    if (!plays.length) return;
    const play = plays[Number($("shares-policy").value || 0)] || plays[0];
    const line = (values, at, dashed) => ({
      type: "line", name: data.projects[at], symbol: "none", step: "end", lineStyle: { width: dashed ? 1.5 : 2, color: colour(at), type: dashed ? "dashed" : "solid", opacity: dashed ? 0.7 : 1 }, itemStyle: { color: colour(at) },
      data: values.map((value, bin) => [play.start + ZONE + bin * play.step, value]),
    });
    const said = new Map();
    const told = (items) => {
      said.clear();
      for (const { seriesName, value } of items) said.set(seriesName, [...(said.get(seriesName) || []), value[1] === null ? "–" : percent(value[1])]);
      return [instant(items[0].value[0] - ZONE), ...[...said].map(([name, both]) => `${name}: ${both.join(" / ")}`)].join("\n");
    };
    chart("shares", {
      useUTC: true,
      legend: legend(),
      grid: { left: 12, right: 24, top: 40, bottom: 40, containLabel: true },
      tooltip: { trigger: "axis", renderMode: "richText", confine: true, formatter: told },
      xAxis: axis("", { type: "time", splitLine: { show: false } }),
      yAxis: axis(word("held"), { type: "value", min: 0, nameLocation: "end", nameTextStyle: { color: property("--soft"), align: "left" }, axisLabel: { formatter: percent } }),
      series: data.projects.flatMap((_, at) => [line(play.shares.held[at], at, false), line(play.shares.entitled[at], at, true)]),
    });
  };

  const waiting = () => {
    const curves = caseNow().waiting;
    $("waiting-panel").hidden = !curves.length;
    if (!curves.length) return;
    chart("waiting", {
      legend: legend(),
      grid: { left: 12, right: 24, top: 40, bottom: 40, containLabel: true },
      tooltip: { trigger: "item", renderMode: "richText", confine: true, formatter: ({ seriesName, value }) => `${seriesName}\n${percent(value[1])} ${word("atMost")} ${duration(value[2])}` },
      xAxis: axis(word("atMost"), { type: "value", min: 0, max: Math.log10(Math.max(600, ...curves.flatMap(({ points }) => points.map(([, s]) => s))) * 1.2), nameGap: 30, splitLine: { show: false }, axisTick: { customValues: TICKS.map(Math.log10) }, axisLabel: { customValues: TICKS.map(Math.log10), formatter: (at) => (at <= 0 ? "≤ 1 s" : duration(Math.round(10 ** at))) } }),
      yAxis: axis(word("share"), { type: "value", min: 0, max: 1, nameLocation: "end", nameTextStyle: { color: property("--soft"), align: "left" }, axisLabel: { formatter: percent } }),
      series: curves.map(({ of, points }) => ({ type: "line", name: data.contenders[of], symbol: SYMBOLS[of % 8], symbolSize: 6, showSymbol: points.length < 40, lineStyle: { width: 2, color: colour(of), type: points.length < 5 ? "dotted" : "solid" }, itemStyle: { color: colour(of) }, data: points.map(([part, s]) => [Math.log10(Math.max(1, s)), part, s]) })),
    });
  };

  const sweep = () => {
    $("sweep-panel").hidden = !data.sweep.length;
    if (!data.sweep.length) return;
    const along = data.sweep[Number($("sweep-key").value || 0)];
    const line = along.lines[Number($("sweep-measure").value || 0)];
    chart("sweep", {
      legend: legend(),
      grid: { left: 12, right: 24, top: 56, bottom: 36, containLabel: true },
      tooltip: { trigger: "axis", renderMode: "richText", confine: true, formatter: (items) => [`${along.key} ${items[0].value[0]}`, ...items.map((item) => `${item.seriesName}: ${figure(item.value[1])}`)].join("\n") },
      xAxis: axis(along.key, { type: "value", scale: true, nameGap: 28 }),
      yAxis: axis(`${named(line.name)}${units(line.unit)}`, { type: "value", scale: true, nameLocation: "end", nameTextStyle: { color: property("--soft"), align: "left" } }),
      series: line.values.map(({ of, means }) => ({ type: "line", name: data.contenders[of], symbol: SYMBOLS[of % 8], symbolSize: 8, lineStyle: { width: 2, color: colour(of) }, itemStyle: { color: colour(of) }, data: means.map((mean, at) => [along.steps[at], mean]) })),
    });
  };

  const options = (id, names) => {
    const kept = $(id).value;
    $(id).replaceChildren(...names.map((name, at) => new Option(name, at)));
    if (kept && Number(kept) < names.length) $(id).value = kept;
  };
  const draw = () => {
    options("map-policy", caseNow().plays.map((play) => data.contenders[play.of]));
    options("site", data.sites.map((each) => named(each.name)));
    if (data.sweep.length) {
      options("sweep-key", data.sweep.map((along) => along.key));
      options("sweep-measure", data.sweep[0].lines.map((line) => named(line.name)));
    }
    options("shares-policy", caseNow().plays.filter((play) => play.shares).map((play) => data.contenders[play.of]));
    for (const picture of [pareto, heats, map, site, shares, waiting, sweep]) picture();
  };
  const speak = (wanted) => {
    language = wanted;
    root.dataset.lang = wanted;
    root.lang = wanted === "zh" ? "zh-Hans" : "en";
    $("language").textContent = word("other");
    $("language").lang = wanted === "zh" ? "en" : "zh-Hans";
    $("play").setAttribute("aria-label", word("play"));
    const select = $("case");
    if (select) data.cases.forEach((each, at) => { select.options[at].textContent = named(each.name) || "–"; });
    draw();
  };

  let clock = null;
  const stop = () => { clearInterval(clock); clock = null; $("play").textContent = "▶"; $("play").setAttribute("aria-pressed", "false"); };
  $("play").addEventListener("click", () => {
    if (clock) { stop(); return; }
    $("play").textContent = "⏸";
    $("play").setAttribute("aria-pressed", "true");
    clock = setInterval(() => { const hour = $("hour"); hour.value = Number(hour.value) >= Number(hour.max) ? 0 : Number(hour.value) + 1; map(); }, 160);
  });
  $("hour").addEventListener("input", map);
  $("map-policy").addEventListener("change", map);
  $("site").addEventListener("change", site);
  $("shares-policy").addEventListener("change", shares);
  $("sweep-key").addEventListener("change", sweep);
  $("sweep-measure").addEventListener("change", sweep);
  $("language").addEventListener("click", () => speak(language === "zh" ? "en" : "zh"));
  if ($("case")) {
    $("case").addEventListener("change", () => {
      chosen = Number($("case").value);
      for (const section of document.querySelectorAll("[data-case]")) section.hidden = Number(section.dataset.case) !== chosen;
      draw();
    });
  }
  const resize = () => { for (const each of Object.values(charts)) each.resize(); };
  addEventListener("resize", resize);
  addEventListener("beforeprint", () => { root.classList.add("paper"); draw(); resize(); });
  addEventListener("afterprint", () => { root.classList.remove("paper"); draw(); resize(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  // The site that drew most is shown first.
  const drew = data.sites.map((_, at) => data.cases.reduce((sum, each) => each.plays.reduce((all, play) => all + play.kw[at].reduce((one, kw) => one + (kw || 0), 0), sum), 0));
  options("site", data.sites.map((each) => named(each.name)));
  $("site").value = drew.indexOf(Math.max(...drew));
  place();
  speak((navigator.language || "").toLowerCase().startsWith("zh") ? "zh" : "en");
  root.dataset.ready = "1";
})();
