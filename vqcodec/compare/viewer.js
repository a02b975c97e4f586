// The choice of what the report shows on its stage. It uses stage.js and tools.js.

function drawViewer(root) {
  if (!DATA.views.length) {
    root.append(html("p", { class: "note" }, "No pictures were kept."));
    return;
  }
  const stage = drawStage();
  const image = html("select", { "aria-label": "Image" });
  const sides = [drawSide("Left"), drawSide("Right")];
  const facts = html("div", { "aria-live": "polite" });
  options(image, unique(DATA.views.map((view) => view.image)).map((name) => [name, name]));

  const chooseImage = () => {
    const views = DATA.views.filter((view) => view.image === image.value);
    const coded = views.find((view) => view.codec !== "original") ?? views[0];
    const original = views.find((view) => view.codec === "original") ?? views[0];
    const first = (index) => views.find((view) => view.codec === DATA.opens_on[index]?.[0] && view.setting === DATA.opens_on[index][1]);
    sides[0].offer(views, first(0) ?? original);
    sides[1].offer(views, first(1) ?? coded);
    show();
  };
  const show = () => {
    const views = sides.map((side) => side.view());
    stage.show(views);
    facts.replaceChildren(table("What is displayed; bytes and quality are those of all that was compared of the image", ["", "Left", "Right"], [
      ["Codec", ...views.map((view) => view.codec)], ["Setting", ...views.map((view) => view.setting || "–")],
      ["Bytes", ...views.map((view) => view.row?.bytes.toLocaleString("en") ?? "–")],
      ["bpp", ...views.map((view) => number(view.row?.bpp ?? null, 4))],
      ...METRICS.map((metric) => [metric.title, ...views.map((view) => (view.row ? metricValue(metric, view.row) : "–"))]),
    ]));
  };
  image.addEventListener("change", chooseImage);
  for (const side of sides) side.changed = show;
  root.append(
    html("div", { class: "choices" }, html("fieldset", {}, html("legend", {}, "Image"), image), ...sides.map((side) => side.node)),
    stage.node, facts,
    html("p", { class: "note" }, "Drag the divider, or move it with the arrow keys. Zoom with the wheel, by pinching, or with + and −; 0 resets. Drag the enlarged picture, or press Shift and arrows, to move it."),
  );
  chooseImage();
}

function options(select, entries) {
  select.replaceChildren(...entries.map(([value, text]) => html("option", { value }, text)));
}

/** Draws the choice of codec and setting of one side. It keeps both if a new image has them. A new codec starts at a rate near the old one's. */
function drawSide(title) {
  const codec = html("select", { "aria-label": `${title}: codec` });
  const setting = html("select", { "aria-label": `${title}: setting` });
  let views = [];
  let current = null;
  const rate = (view) => view.row?.bpp ?? Infinity;
  const side = {
    node: html("fieldset", {}, html("legend", {}, title), codec, setting),
    changed: () => {},
    view: () => current,
    offer(offered, preferred) {
      views = offered;
      const kept = views.filter((view) => current && view.codec === current.codec);
      current = kept.find((view) => view.setting === current.setting) ?? kept[0] ?? preferred;
      options(codec, unique(views.map((view) => view.codec)).map((name) => [name, name]));
      codec.value = current.codec;
      offerSettings();
    },
  };
  const settings = () => views.filter((view) => view.codec === codec.value).sort((a, b) => rate(a) - rate(b));
  const offerSettings = () => {
    options(setting, settings().map((view) => [view.setting, view.row ? `${view.setting} · ${number(view.row.bpp, 3)} bpp` : view.setting]));
    setting.value = current.setting;
    setting.hidden = settings().length === 1 && !current.setting;
  };
  codec.addEventListener("change", () => {
    const away = (view) => Math.abs(Math.log(rate(view) / rate(current)));
    current = settings().reduce((best, view) => (away(view) < away(best) ? view : best));
    offerSettings();
    side.changed();
  });
  setting.addEventListener("change", () => {
    current = settings().find((view) => view.setting === setting.value);
    side.changed();
  });
  return side;
}

drawViewer(byId("viewer"));
