"use strict";

// The page of vqcodec serve. What is wanted is in the form and in the choices; work() does what is missing, one task after the other.

const PEERS = { jpeg: "JPEG", webp: "WebP", avif: "AVIF" };
const SETTLED_MS = 250; // after which a setting that was changed counts

let about = { max_upload_bytes: Infinity, model: "", has_perceptual: true };
let choice = null; // the file that was chosen last, which may still turn out to be unreadable
let upload = null; // the last one that could be read: { file, id, isCoded, results }
let shown = null; // facts of the code task whose pictures are on the stage
let working = null; // AbortController of the work in progress
let timer = null;
const stage = drawStage();

class Refused extends Error {
  constructor(message, { isGone = false, canRetry = false, task = null } = {}) {
    super(message);
    Object.assign(this, { isGone, canRetry, task });
  }
}

// ---- what is wanted

const settings = () => ({ quality: Number(byId("quality").value), tune: byId("tune").value, realism: Number(byId("realism").value) });
const codeKey = () => `code ${upload.isCoded ? settings().realism : Object.values(settings()).join(" ")}`;
const codeFacts = () => upload.results.get(codeKey());
const peerKey = (peer) => `peer ${peer} ${codeFacts().num_bytes}`;
const insideKey = () => `inside ${codeKey()}`;

/** Returns the next task that is needed for what is wanted: its key, its kind and its options; null where all is there. */
function missing() {
  if (!upload.results.has(codeKey())) return { key: codeKey(), kind: "code", options: settings() };
  for (const side of [byId("left"), byId("right")]) {
    if (side.value in PEERS && !upload.results.has(peerKey(side.value))) {
      return { key: peerKey(side.value), kind: "peer", options: { peer: side.value, num_bytes: codeFacts().num_bytes }, side };
    }
  }
  if (byId("inside").open && !upload.results.has(insideKey())) return { key: insideKey(), kind: "inside", options: settings() };
  return null;
}

// ---- work

async function work() {
  clearTimeout(timer);
  working?.abort();
  const controller = new AbortController();
  working = controller;
  complain(null);
  say(upload.id ? "Working" : "Sending the file");
  try {
    for (let wasSentAgain = false; ;) {
      try {
        if (!upload.id) upload.id = await send(upload.file, controller.signal);
        for (let task = missing(); task; task = missing()) {
          upload.results.set(task.key, await run(task, controller.signal));
          draw();
        }
        await checkKept(controller.signal);
        break;
      } catch (error) {
        if (!error.isGone || wasSentAgain || controller.signal.aborted) throw error;
        [wasSentAgain, upload.id] = [true, null];
        upload.results.clear();
      }
    }
    draw();
    finish(controller, null);
  } catch (error) {
    if (!controller.signal.aborted) finish(controller, error);
  }
}

function finish(controller, error) {
  if (working !== controller) return;
  working = null;
  byId("status").hidden = true;
  const task = error?.canRetry ? null : error?.task;
  if (task?.side) {
    task.side.value = task.side.id === "left" ? "original" : "vqcodec"; // so that it is not tried again
    draw();
  }
  if (task?.kind === "inside") byId("inside").open = false;
  if (error) complain(`${upload.file.name}: ${describe(error)}`, error.canRetry || !(error instanceof Refused));
}

function describe(error) {
  return error instanceof Refused ? error.message : "The server does not answer. Is it still running?";
}

function complain(message, canRetry = false) {
  byId("again").hidden = !canRetry;
  byId("error").hidden = !message;
  byId("error").textContent = message ?? "";
}

function say(step, share) {
  byId("status").hidden = false;
  if (byId("step").textContent !== step) byId("step").textContent = step;
  if (share === undefined) byId("progress").removeAttribute("value");
  else byId("progress").value = share;
}

/** Sends a file and returns its id. */
async function send(file, signal) {
  if (!file.size) throw new Refused("the file is empty");
  if (file.size > about.max_upload_bytes) {
    throw new Refused(`the file has ${file.size.toLocaleString("en")} bytes, this page takes ${about.max_upload_bytes.toLocaleString("en")} at most`);
  }
  const answer = await fetch("/files", { method: "POST", body: file, signal });
  return (await checked(answer)).file;
}

async function checked(answer) {
  const said = await answer.json();
  if (!answer.ok) throw new Refused(said.error, { isGone: answer.status === 404 });
  return said;
}

/** Checks that the server has not dropped the file, with which all that was made of it would be gone. */
async function checkKept(signal) {
  const answer = await fetch(address("upload"), { method: "HEAD", cache: "no-store", signal });
  if (answer.status === 404) throw new Refused("the file is not kept any more; send it again", { isGone: true });
}

/** Runs a task and returns the facts that it found out. */
async function run(task, signal) {
  const answer = await fetch(`/files/${upload.id}/${task.kind}`, { method: "POST", body: JSON.stringify(task.options), signal });
  if (!answer.ok) await checked(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) throw new Refused("the server ended before the work was done");
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const said of lines.map((line) => JSON.parse(line))) {
      if (said.event === "done") return said.facts;
      if (said.event === "failed") throw new Refused(said.message, { canRetry: said.can_retry, task });
      if (said.event === "waiting") say("Waiting for another request");
      if (said.event === "progress") say(said.step, said.share);
      if (said.event === "made" && said.name === "original.png" && !shown) showOriginal();
    }
  }
}

// ---- what is shown

const address = (name) => `/files/${upload.id}/${name}`;
const view = (name, codec, setting = "") => ({ image: upload.file.name, codec, setting, address: address(name) });

/** Shows the original alone, until there is something to compare it with. */
function showOriginal() {
  byId("result").hidden = false;
  stage.show([view("original.png", "original"), view("original.png", "original")]);
}

/** Returns what a side shows: its view, and bytes, bits per pixel and PSNR. */
function side(select, facts) {
  if (upload.isCoded) return { view: view(facts.picture, "vqcodec"), name: "vqcodec", ...facts };
  const coded = (codec, found) => ({ view: view(found.picture, codec, `quality ${found.quality}`), name: `${codec}, quality ${found.quality}`, ...found });
  if (select.value === "vqcodec") return coded("vqcodec", facts);
  const found = select.value in PEERS && upload.results.get(peerKey(select.value));
  if (found) return coded(PEERS[select.value], found);
  const num_bytes = upload.file.size;
  return { view: view(facts.original, "original"), name: "Original", num_bytes, bpp: (8 * num_bytes) / (facts.width * facts.height), psnr_db: null };
}

function draw() {
  const facts = codeFacts();
  if (!facts) return;
  shown = facts;
  byId("result").hidden = false;
  const sides = [side(byId("left"), facts), side(byId("right"), facts)];
  stage.show(sides.map((one) => one.view));
  const row = (name, value) => [name, ...sides.map(value)];
  byId("viewer").replaceChildren(table(`${facts.width}×${facts.height} pixels, model ${facts.model}, ${facts.num_maps} ${facts.num_maps === 1 ? "map" : "maps"}`, ["", "Left", "Right"], [
    row("Picture", (one) => one.name), row("Bytes", (one) => one.num_bytes.toLocaleString("en")), row("Bits per pixel", (one) => number(one.bpp, 3)),
    row("PSNR, dB", (one) => number(one.psnr_db ?? null, 2)),
  ]));
  byId("notes").textContent = facts.notes.join("; ");
  const stem = upload.file.name.replace(/\.[^.]*$/, "") || "picture";
  fill(byId("save-vq"), { href: address(facts.vq), download: `${stem}.vq` }, []);
  fill(byId("save-png"), { href: address(facts.picture), download: `${stem}.png` }, []);
  drawInside(upload.results.get(insideKey()));
}

function drawInside(facts) {
  const holder = byId("inside-shown");
  if (!facts) {
    holder.replaceChildren();
    return;
  }
  if (holder.dataset.key === `${upload.id} ${insideKey()}` && holder.children.length) return;
  holder.dataset.key = `${upload.id} ${insideKey()}`;
  const figure = (name, alt, caption, attributes = {}) => html("figure", attributes, html("img", { src: address(name), alt, loading: "lazy" }), html("figcaption", {}, caption));
  const largest = Math.max(...facts.parts.map(([, bytes]) => bytes));
  const total = facts.parts.reduce((sum, [, bytes]) => sum + bytes, 0);
  const bytes = table("Bytes of each part of the file", ["Part", "Bytes", "Share", ""], facts.parts.map(([name, count]) => [
    name, count.toLocaleString("en"), `${number((100 * count) / total, 1)} %`,
    html("td", {}, html("meter", { min: 0, max: largest, value: count, "aria-label": `${name}: ${count} bytes` })),
  ]));
  bytes.classList.add("wide");
  holder.replaceChildren(
    drawSteps(facts.steps),
    figure(facts.heat, "Bits by place over the picture", `Bits by place: dark costs nothing, bright ${number(facts.most_bits, 0)} bits for 8×8 pixels.`),
    ...(facts.exact ? [figure(facts.exact, "Pixels that come back exactly", `${number(100 * facts.exact_share, 1)} % of the pixels come back exactly; the others are pale.`)] : []),
    ...facts.maps.map((map, index) => figure(facts[`map${index}`], `Codes of map ${map.name} in colour`,
      `Map ${map.name}: ${map.width}×${map.height} codes, ${number(map.bits, 2)} bits each. Codes that are alike look alike.`, { class: "codes" })),
    bytes,
  );
}

/** Draws the picture as it builds up map by map, with a slider and a button that plays it. */
function drawSteps(steps) {
  const picture = html("img", { alt: "" });
  const slider = html("input", { type: "range", min: 1, max: steps.length, value: steps.length, "aria-label": "Number of maps that the picture is painted from" });
  const told = html("output", {});
  const show = () => {
    const count = Number(slider.value);
    fill(picture, { src: address(steps[count - 1]), alt: `The picture, painted from ${count} of ${steps.length} maps` }, []);
    told.value = `${count} of ${steps.length} maps`;
  };
  let next = null;
  const play = () => {
    clearTimeout(next); // where it plays already
    slider.value = slider.valueAsNumber < steps.length ? slider.valueAsNumber + 1 : 1;
    show();
    if (slider.isConnected && slider.valueAsNumber < steps.length) next = setTimeout(play, 900);
  };
  slider.addEventListener("input", show);
  show();
  for (const name of steps) new Image().src = address(name);
  return html("figure", {}, picture, html("figcaption", {}, html("label", {}, "Painted from ", slider, told), button("Build up", play)));
}

// ---- what the user does

async function choose(file) {
  choice = file;
  const start = await file.slice(0, 3).arrayBuffer().catch(() => null);
  if (choice !== file) return; // another was chosen meanwhile
  if (!start) {
    complain(`${file.name}: it cannot be read; is it a folder?`);
    return;
  }
  const isCoded = String(new Uint8Array(start)) === "137,86,81";
  upload = { file, id: null, isCoded, results: new Map() };
  shown = null;
  byId("result").hidden = true;
  byId("inside-shown").replaceChildren();
  byId("chosen").textContent = `${file.name}, ${file.size.toLocaleString("en")} bytes`;
  byId("quality").disabled = byId("tune").disabled = isCoded;
  const views = [...(isCoded ? [] : [["original", "Original"]]), ["vqcodec", "vqcodec"], ...(isCoded ? [] : Object.entries(PEERS).map(([name, title]) => [name, `${title} in as many bytes`]))];
  for (const select of [byId("left"), byId("right")]) {
    select.replaceChildren(...views.map(([value, text]) => html("option", { value }, text)));
  }
  byId("left").value = views[0][0];
  byId("right").value = "vqcodec";
  await work();
}

/** Takes files that were dropped or pasted as if the first had been chosen. */
function take(files) {
  if (!files.length) return;
  byId("file").files = files;
  choose(files[0]);
}

function changed() {
  byId("quality-value").value = byId("quality").value;
  byId("realism-value").value = number(byId("realism").value, 2).replace(/\.?0+$/, "");
  clearTimeout(timer);
  if (upload) timer = setTimeout(work, SETTLED_MS);
}

byId("stage").append(stage.node);
byId("file").addEventListener("click", (event) => (event.target.value = "")); // so that the same file can be chosen anew
byId("file").addEventListener("change", (event) => event.target.files.length && choose(event.target.files[0]));
byId("settings").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["quality", "tune", "realism"]) byId(id).addEventListener("input", changed);
for (const id of ["left", "right"]) byId(id).addEventListener("change", () => (upload ? work() : null));
byId("inside").addEventListener("toggle", () => byId("inside").open && upload && work());
byId("result").addEventListener("error", () => working || work(), true); // of a picture that is not kept any more, perhaps
byId("again").addEventListener("click", work);
byId("cancel").addEventListener("click", () => {
  clearTimeout(timer);
  working?.abort();
  working = null;
  byId("status").hidden = true;
  byId("again").hidden = false;
  byId("again").focus();
});
listen(window, {
  dragover(event) {
    event.preventDefault();
    document.body.classList.add("dropping");
  },
  dragleave: (event) => event.relatedTarget || document.body.classList.remove("dropping"),
  drop(event) {
    event.preventDefault();
    document.body.classList.remove("dropping");
    take(event.dataTransfer.files);
  },
  paste: (event) => take(event.clipboardData.files),
});
fetch("/about").then((answer) => answer.json()).then((said) => {
  about = said;
  byId("realism").disabled = byId("tune").options[2].disabled = !said.has_perceptual;
}).catch(() => complain("The server does not answer. Is it still running?"));
