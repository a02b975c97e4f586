// The report: plots, tables and what is told of the measurement. It uses tools.js.

const DATA = JSON.parse(document.getElementById("data").textContent);
const METRICS = DATA.metrics.filter((metric) => metric.has_curves);

const metricValue = (metric, item) => number(item[metric.key], metric.decimals) + (metric.unit && ` ${metric.unit}`);
const label = (curve) => (curve.source === null ? curve.name : `${curve.name} (published)`);

// ---- plots

const MARKERS = ["M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", "M-3.6-3.6h7.2v7.2h-7.2z", "M0-4.8L4.6 3.6H-4.6z", "M0-5L5 0L0 5L-5 0z", "M0 4.8L4.6-3.6H-4.6z"];

const plot = { metric: METRICS[0], hidden: new Set(), points: [], current: null };

/** Returns round numbers from low to high, about `count` of them. */
function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.max(Math.floor(high / step) - first + 1, 0) }, (_, i) => Number(((first + i) * step).toPrecision(10)));
}

/** Returns round numbers for a logarithmic axis: those to label, and all. */
function logTicks(low, high) {
  const all = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (let factor = 1; factor < 10; factor++) all.push({ factor, value: Number((factor * 10 ** power).toPrecision(3)) });
  }
  const inside = all.filter(({ value }) => value >= low && value <= high);
  const within = inside.map(({ value }) => value);
  const labelled = inside.filter(({ factor }) => [1, 2, 5].includes(factor)).map(({ value }) => value);
  return labelled.length < 3 ? [ticks(low, high, 5), within] : [labelled, within];
}

function padded(values, share) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = (high - low || Math.abs(high) || 1) * share;
  return [low - pad, high + pad];
}

function style(curve) {
  return `--light: ${curve.light}; --dark: ${curve.dark}`;
}

function drawPlot() {
  const holder = byId("plot");
  const width = holder.clientWidth;
  const height = clamp(width * 0.58, 300, 540);
  const box = { left: 52, right: width - 12, top: 14, bottom: height - 44 };
  const tooltip = html("div", { class: "tooltip", hidden: "" });
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": `${plot.metric.axis_title}, over bits per pixel` });
  const drawn = DATA.curves.map((curve, index) => ({
    curve, index, points: plot.hidden.has(index) ? [] : curve.points.filter((point) => point.drawn[plot.metric.key] !== null),
  })).filter((series) => series.points.length);
  plot.points = [];
  plot.current = null;
  holder.replaceChildren(root, tooltip);
  if (!drawn.length) {
    root.append(svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "No curve is selected."));
    return;
  }
  const all = drawn.flatMap((series) => series.points);
  const [x0, x1] = padded(all.map((point) => Math.log10(point.bpp)), 0.03);
  const [y0, y1] = padded(all.map((point) => point.drawn[plot.metric.key]), 0.05);
  const x = (bpp) => box.left + ((Math.log10(bpp) - x0) / (x1 - x0)) * (box.right - box.left);
  const y = (value) => box.bottom - ((value - y0) / (y1 - y0)) * (box.bottom - box.top);
  drawAxes(root, box, { x, y, xTicks: logTicks(10 ** x0, 10 ** x1), yTicks: ticks(y0, y1, height / 70) });
  for (const { curve, index, points } of drawn) {
    const group = svg("g", { class: `series ${curve.source === null ? "measured" : "published"}`, style: style(curve) });
    const places = points.map((point) => [x(point.bpp), y(point.drawn[plot.metric.key])]);
    group.append(svg("path", { class: "curve", d: `M${places.map((place) => place.map((v) => v.toFixed(1)).join(" ")).join("L")}`, "data-index": index }));
    points.forEach((point, i) => {
      const text = [label(curve), point.setting, `${number(point.bpp, 3)} bpp`, pointValue(point)].filter(Boolean);
      const node = svg("path", {
        class: "point", d: MARKERS[index % MARKERS.length], tabindex: -1, role: "img", "aria-label": text.join(", "),
        transform: `translate(${places[i][0].toFixed(1)} ${places[i][1].toFixed(1)})`,
      });
      const entry = { index, node, group, text, x: places[i][0], y: places[i][1] };
      listen(node, { focus: () => showPoint(entry), blur: hidePoint });
      plot.points.push(entry);
      group.append(node);
    });
    root.append(group);
  }
  plot.points[0].node.setAttribute("tabindex", 0);
  listen(root, { pointermove: pointAt, pointerdown: pointAt, pointerleave: (event) => event.pointerType === "mouse" && hidePoint(), keydown: movePoint });
}

function pointValue(point) {
  const { key, title, drawn_in_db: inDb } = plot.metric;
  return `${title} ${metricValue(plot.metric, point)}${inDb ? ` (${number(point.drawn[key], 2)} dB)` : ""}`;
}

function drawAxes(root, box, { x, y, xTicks: [xLabels, xMinor], yTicks }) {
  const line = (from, to, minor) => svg("path", { class: minor ? "grid minor" : "grid", d: `M${from}L${to}` });
  for (const value of xMinor) root.append(line([x(value), box.top], [x(value), box.bottom], true));
  for (const value of xLabels) {
    root.append(line([x(value), box.top], [x(value), box.bottom]));
    root.append(svg("text", { x: x(value), y: box.bottom + 17, "text-anchor": "middle" }, String(value)));
  }
  for (const value of yTicks) {
    root.append(line([box.left, y(value)], [box.right, y(value)]));
    root.append(svg("text", { x: box.left - 7, y: y(value) + 4, "text-anchor": "end" }, String(value).replace("-", "−")));
  }
  const middle = (box.top + box.bottom) / 2;
  root.append(svg("text", { x: (box.left + box.right) / 2, y: box.bottom + 37, "text-anchor": "middle" }, "bits per pixel"));
  root.append(svg("text", { x: 0, y: 0, transform: `translate(12 ${middle}) rotate(-90)`, "text-anchor": "middle" }, plot.metric.axis_title));
}

function showPoint(entry) {
  hidePoint();
  plot.current = entry;
  entry.node.classList.add("current");
  entry.group.classList.add("active");
  for (const other of plot.points) other.node.setAttribute("tabindex", other === entry ? 0 : -1);
  const tooltip = document.querySelector("#plot .tooltip");
  const [name, ...rest] = entry.text;
  tooltip.replaceChildren(html("strong", {}, name), ...rest.map((text) => html("div", {}, text)));
  tooltip.hidden = false;
  const room = byId("plot").clientWidth - tooltip.offsetWidth;
  const above = entry.y - tooltip.offsetHeight - 14;
  tooltip.style.left = `${clamp(entry.x - tooltip.offsetWidth / 2, 0, room)}px`;
  tooltip.style.top = `${above < 0 ? entry.y + 14 : above}px`;
}

function hidePoint() {
  plot.current?.node.classList.remove("current");
  plot.current?.group.classList.remove("active");
  plot.current = null;
  document.querySelector("#plot .tooltip").hidden = true;
}

function pointAt(event) {
  const rect = event.currentTarget.getBoundingClientRect();
  const distance = (entry) => Math.hypot(entry.x - (event.clientX - rect.left), entry.y - (event.clientY - rect.top));
  const nearest = plot.points.reduce((best, entry) => (distance(entry) < distance(best) ? entry : best), plot.points[0]);
  if (distance(nearest) < (event.pointerType === "mouse" ? 24 : 40)) showPoint(nearest);
  else hidePoint();
}

function movePoint(event) {
  const from = plot.points.find((entry) => entry.node === document.activeElement);
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (event.key === "Escape") hidePoint();
  if (!from || !step) return;
  event.preventDefault();
  const curves = unique(plot.points.map((entry) => entry.index));
  const along = event.key === "ArrowRight" || event.key === "ArrowLeft";
  const curve = along ? from.index : curves[(curves.indexOf(from.index) + step + curves.length) % curves.length];
  const candidates = plot.points.filter((entry) => entry.index === curve);
  const to = along
    ? candidates[candidates.indexOf(from) + step]
    : candidates.reduce((best, entry) => (Math.abs(entry.x - from.x) < Math.abs(best.x - from.x) ? entry : best));
  to?.node.focus();
}

function drawTabs() {
  const choose = (index, focus) => {
    plot.metric = METRICS[index];
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", i === index);
      tab.setAttribute("tabindex", i === index ? 0 : -1);
    });
    byId("plot").setAttribute("aria-labelledby", tabs[index].id);
    if (focus) tabs[index].focus();
    drawPlot();
  };
  const tabs = METRICS.map((metric, index) =>
    button(metric.title, () => choose(index), { role: "tab", id: `tab-${metric.key}`, "aria-controls": "plot" }));
  byId("tabs").append(...tabs);
  byId("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) choose((tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length, true);
  });
  choose(0);
}

function drawLegend() {
  const buttons = DATA.curves.map((curve, index) => {
    const key = svg("svg", { viewBox: "-17 -7 34 14", class: `key ${curve.source === null ? "measured" : "published"}`, style: style(curve), "aria-hidden": true },
      svg("path", { class: "curve", d: "M-16 0H16" }), svg("path", { class: "point", d: MARKERS[index % MARKERS.length] }));
    const node = button(key, () => show((i) => (i === index ? plot.hidden.has(i) : !plot.hidden.has(i))));
    node.append(label(curve));
    const emphasise = (on) => {
      byId("plot").classList.toggle("dimming", on && !plot.hidden.has(index));
      for (const entry of plot.points) if (entry.index === index) entry.group.classList.toggle("active", on);
    };
    listen(node, { mouseenter: () => emphasise(true), mouseleave: () => emphasise(false) });
    return node;
  });
  const show = (shown) => {
    plot.hidden = new Set([...DATA.curves.keys()].filter((i) => !shown(i)));
    buttons.forEach((node, i) => node.setAttribute("aria-pressed", !plot.hidden.has(i)));
    byId("plot").classList.remove("dimming");
    drawPlot();
  };
  byId("legend").append(...buttons, button("Show all", () => show(() => true), { class: "all" }), button("Hide all", () => show(() => false), { class: "all" }));
  show(() => true);
}

function drawCurves() {
  if (!METRICS.length) {
    byId("plot").append("Nothing was measured.");
    return;
  }
  drawTabs();
  drawLegend();
  let width = byId("plot").clientWidth;
  new ResizeObserver(() => {
    if (width !== byId("plot").clientWidth) drawPlot();
    width = byId("plot").clientWidth;
  }).observe(byId("plot"));
  const link = (source) => (/^https?:[/][/]/.test(source) ? html("a", { href: source, rel: "noopener noreferrer" }, source) : source);
  const sources = DATA.curves.filter((curve) => curve.source !== null).flatMap((curve) => [`${curve.name}: `, link(curve.source), html("br")]);
  byId("sources").append(...(sources.length ? ["Sources of published curves:", html("br"), ...sources] : []));
  const rows = DATA.curves.flatMap((curve) => curve.points.map((point) => [
    label(curve), html("td", { class: "text" }, point.setting), number(point.num_images, 0), number(point.bpp, 4),
    ...METRICS.map((metric) => number(point[metric.key], metric.decimals)), number(point.encode_s, 3), number(point.decode_s, 3),
  ]));
  const values = table("Means over images",
    ["Codec", "Setting", "Images", "bpp", ...METRICS.map((metric) => metric.title + (metric.unit && `, ${metric.unit}`)), "Encode, s", "Decode, s"], rows);
  byId("values").append(fill(values, { tabindex: 0, role: "region", "aria-label": "Means over images" }, []));
}

function drawBdTables() {
  byId("bd").hidden = !DATA.bd_tables.length;
  for (const { metric, anchor, rows } of DATA.bd_tables) {
    const title = DATA.metrics.find((item) => item.key === metric)?.title ?? metric;
    const withNotes = rows.some((row) => row.note);
    const cells = rows.map(({ codec, bd_rate_percent: rate, note }) => {
      const kind = rate > 0 ? "more" : rate < 0 ? "fewer" : "";
      const value = rate === null ? "–" : `${rate > 0 ? "+" : ""}${number(rate, 1)} %`;
      return [codec, html("td", { class: kind }, value), ...(withNotes ? [html("td", { class: "text" }, note)] : [])];
    });
    byId("bd-tables").append(table(`${title}, against ${anchor}`, ["Codec", "BD-rate", ...(withNotes ? ["Note"] : [])], cells));
  }
}

for (const [name, value] of Object.entries(DATA.about)) byId("about").append(html("div", {}, html("dt", {}, name), html("dd", {}, value)));
drawCurves();
drawBdTables();
