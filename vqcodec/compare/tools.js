"use strict";

// Small tools of the report and of the page.

const byId = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const unique = (values) => [...new Set(values)];

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
const html = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function button(label, action, attributes = {}) {
  const node = html("button", { type: "button", ...attributes }, label);
  node.addEventListener("click", action);
  return node;
}

function number(value, decimals) {
  if (value === null || Number.isNaN(Number(value))) return "–";
  return Number(value) === Infinity ? "∞" : Number(value).toFixed(decimals).replace("-", "−");
}

function table(caption, head, rows) {
  const cell = (content) => (content instanceof Node ? content : html("td", {}, content));
  const body = rows.map(([first, ...rest]) => html("tr", {}, html("th", { scope: "row" }, first), ...rest.map(cell)));
  const node = html(
    "table", {}, html("caption", {}, caption),
    html("thead", {}, html("tr", {}, ...head.map((text) => html("th", { scope: "col" }, text)))), html("tbody", {}, ...body),
  );
  return html("div", { class: "scroll" }, node);
}

function listen(node, handlers, options) {
  for (const [type, handler] of Object.entries(handlers)) node.addEventListener(type, handler, options);
}
