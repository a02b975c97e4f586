// Two pictures over each other, with a divider between them and one zoom for both. It uses tools.js.

const PIXELATED_FROM = 3; // in device pixels a pixel of the picture, as MOST_ZOOM
const MOST_ZOOM = 32;

function drawStage() {
  const layers = [html("div", { class: "layer left" }), html("div", { class: "layer right" })];
  const divider = html("div", {
    class: "divider", role: "slider", tabindex: 0, "aria-label": "Divider between left and right picture",
    "aria-orientation": "horizontal", "aria-valuemin": 0, "aria-valuemax": 100,
  });
  const stage = html("div", { class: "stage" }, ...layers, divider);
  const readout = html("output", { "aria-label": "Zoom" });
  let split = 50;
  let zoom = 1;
  let offset = [0, 0]; // from the stage's corner to the picture's, as a share of the stage
  let fit = 1; // device pixels a pixel of the picture at zoom 1
  let latest = 0;

  const apply = () => {
    offset = offset.map((value) => clamp(value, 1 - zoom, 0));
    const place = { "--split": `${split}%`, "--zoom": zoom, "--x": `${offset[0] * 100}%`, "--y": `${offset[1] * 100}%` };
    for (const [name, value] of Object.entries(place)) stage.style.setProperty(name, value);
    stage.classList.toggle("pixelated", fit * zoom >= PIXELATED_FROM);
    stage.classList.toggle("zoomed", zoom > 1);
    divider.setAttribute("aria-valuenow", Math.round(split));
    divider.setAttribute("aria-valuetext", `${Math.round(split)} % from the left`);
    readout.value = `${Math.round(fit * zoom * 100)} %`;
  };
  const measure = () => {
    const picture = stage.querySelector("img");
    if (picture) fit = (stage.clientWidth * devicePixelRatio) / picture.naturalWidth;
    zoom = clamp(zoom, 1, Math.max(MOST_ZOOM / fit, 1));
    apply();
  };
  const moveDivider = (percent) => {
    split = clamp(percent, 0, 100);
    apply();
  };
  const pan = (dx, dy) => {
    offset = [offset[0] + dx, offset[1] + dy];
    apply();
  };
  const zoomBy = (factor, [x, y] = [0.5, 0.5]) => {
    const before = zoom;
    zoom = clamp(zoom * factor, 1, Math.max(MOST_ZOOM / fit, 1));
    offset = [x - ((x - offset[0]) * zoom) / before, y - ((y - offset[1]) * zoom) / before];
    apply();
  };
  const reset = () => zoomBy(1 / zoom);

  followPointers(stage, divider, { moveDivider, pan, zoomBy, isZoomed: () => zoom > 1 });
  const frame = html("div", {}, stage, html("div", { class: "buttons zoom", role: "group", "aria-label": "Zoom" },
    button("−", () => zoomBy(1 / 1.5), { "aria-label": "Zoom out" }), readout, button("+", () => zoomBy(1.5), { "aria-label": "Zoom in" }),
    button("1:1", () => zoomBy(1 / (fit * zoom)), { title: "One pixel of the picture on one of the screen" }), button("Fit", reset)));
  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const [dx, dy] = arrows[event.key] ?? [0, 0];
    const actions = {
      "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), 0: reset, Home: () => moveDivider(0), End: () => moveDivider(100),
      PageUp: () => moveDivider(split + 10), PageDown: () => moveDivider(split - 10),
    };
    const action = arrows[event.key] ? () => (event.shiftKey ? pan(-dx / 10, -dy / 10) : moveDivider(split + dx - dy)) : actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  new ResizeObserver(measure).observe(stage);
  apply();
  return {
    node: frame,
    async show(views) {
      const number = ++latest;
      const pictures = await Promise.all(views.map(load));
      if (number !== latest) return;
      layers.forEach((layer, i) => layer.replaceChildren(pictures[i]));
      const picture = stage.querySelector("img");
      if (picture) stage.style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight);
      measure();
    },
  };
}

async function load(view) {
  const picture = html("img", { src: view.address, alt: `${view.image}, ${view.codec} ${view.setting}`.trim(), draggable: false });
  try {
    await picture.decode();
    return picture;
  } catch {
    return html("p", {}, "This browser cannot show this picture.");
  }
}

/** Follows pointers: one moves the divider, or the picture where it is enlarged, and two zoom. */
function followPointers(stage, divider, { moveDivider, pan, zoomBy, isZoomed }) {
  const pointers = new Map();
  let dragging = null;
  const place = (event) => {
    const rect = stage.getBoundingClientRect();
    return [(event.clientX - rect.left) / rect.width, (event.clientY - rect.top) / rect.height];
  };
  const distance = (a, b) => Math.hypot((a[0] - b[0]) * stage.clientWidth, (a[1] - b[1]) * stage.clientHeight);
  const release = (event) => {
    pointers.delete(event.pointerId);
    dragging = null;
  };
  listen(stage, {
    pointerdown(event) {
      if (event.button !== 0) return;
      event.preventDefault();
      stage.setPointerCapture(event.pointerId);
      dragging = pointers.size === 0 && (event.target === divider || !isZoomed()) ? event.pointerId : null;
      pointers.set(event.pointerId, place(event));
      divider.focus({ preventScroll: true, focusVisible: false });
    },
    pointermove(event) {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const now = place(event);
      pointers.set(event.pointerId, now);
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (event.pointerId === dragging) moveDivider(now[0] * 100);
      else if (!other) pan(now[0] - before[0], now[1] - before[1]);
      else {
        pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
        zoomBy(distance(now, other) / Math.max(distance(before, other), 1), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
      }
    },
    pointerup: release,
    pointercancel: release,
  });
  const keepPage = (event) => {
    if (event.touches.length > 1) event.preventDefault();
  };
  listen(stage, {
    touchstart: keepPage,
    touchmove: keepPage,
    wheel(event) {
      if (!isZoomed() && event.deltaY > 0) return;
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : 30);
      zoomBy(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.002)), place(event));
    },
  }, { passive: false });
}
