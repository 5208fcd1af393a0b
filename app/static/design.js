// The report on a network's filters in the page Networks (vizcore inspect): what shows a finding is one click from its pictures.

import { plain, post } from "./look.js"
import { element, number } from "./text.js"

const MOST = 64 // filters of a run
const SHOWN = 40 // of a finding; the others are in its run
const LAYER = 16 // filters that stand for a layer as a whole
const MEANING = {
  "dead filters": "no weights, or off for every picture",
  "near-duplicates": "weights that are equal or opposite",
  "aliasing": "fine detail that the first layer's stride folds onto coarse",
  "spectral coverage": "frequencies that few filters of the first layer see",
  "receptive field": "how much of the picture a position sees",
}

let ask = () => {}
let changed = () => {}
let wanted = "" // the network whose report is open
let told = null
let why = ""
let asking = null

/** `send` tells Python; `then` is called when another report, or none, is wished. */
export function start(send, then) {
  ask = send
  changed = then
}

/** The network whose report is open, or "". */
export const model = () => wanted

/** Opens the report on a network, always a new one: it may have learnt more since. */
export function open(name) {
  asking?.abort()
  asking = told = null
  why = ""
  wanted = name
  changed()
}

/** Asks for the report if it is not there; `seen`: whether the page is. */
export async function look(seen) {
  if (!seen || !wanted) return asking?.abort()
  if (told || asking) return
  const mine = (asking = new AbortController())
  why = ""
  show()
  try {
    const answer = await post("inspect", { model: wanted }, null, mine.signal)
    if (asking === mine) told = answer
  } catch (error) {
    if (asking === mine && !mine.signal.aborted) why = error.kind ? `${error.message} ${error.hint ?? ""}` : "The server does not answer. Check the connection, then open this again."
  } finally {
    if (asking === mine) {
      asking = null
      show()
    }
  }
}

/** Paints the report where there is a place for it. */
export function show() {
  const place = document.querySelector("[data-report]")
  if (!place || place.dataset.report !== wanted) return
  const name = plain(wanted)
  const away = element("button", { type: "button", class: "tool bare", "aria-label": `Close the report on ${name}`, title: "Close the report", onclick: () => open("") }, "✕")
  const head = element("div", { class: "bar" }, element("h2", {}, `Design of ${name}`), element("span", { class: "spacer" }), away)
  const parts = told ? body(name) : [element("p", { class: why ? "why" : "muted", role: "status" }, why || "Looking at its filters …")]
  place.replaceChildren(element("section", { class: "design", "aria-label": `Design of ${name}`, "data-testid": "networks-design" }, head, ...parts))
}

export const state = () => (told ? { model: wanted, findings: told.findings.length } : null)

function body(name) {
  const groups = told.kinds.map((kind) => {
    const found = told.findings.filter((finding) => finding.kind === kind)
    const title = element("dt", {}, kind, element("span", { class: "muted" }, ` ${found.length ? MEANING[kind] : "nothing found"}`))
    return [title, ...found.map((finding) => element("dd", { "data-testid": "networks-finding" }, ...row(finding)))]
  })
  const about = `${told.layers} layers with ${told.filters.toLocaleString("en")} filters, looked at with ${told.pictures} made-up pictures: what is off for all of them may only be choosy. vizcore inspect ${name} --dataset … looks with real ones.`
  return [element("dl", {}, ...groups.flat()), element("p", { class: "muted" }, about)]
}

function row({ layer, text, filters, values, pairs }) {
  const see = (channels, channel) => () => ask({ do: "ascend", model: wanted, layer, channel, filters: channels.join(",") })
  const chips = pairs.length
    ? pairs.slice(0, SHOWN).map(([a, b], i) => chip(`${a} · ${b}`, `Filters ${a} and ${b}: cosine ${number(values[i])}`, see([a, b], a)))
    : filters.slice(0, SHOWN).map((channel, i) => chip(String(channel), values.length ? `Filter ${channel}: ${number(values[i])}` : `Filter ${channel}`, see(filters.slice(0, MOST), channel)))
  const count = pairs.length || filters.length
  const more = count > SHOWN ? element("span", { class: "muted" }, `and ${count - SHOWN} more`) : null
  const some = filters.length ? filters.slice(0, MOST) : Array.from({ length: Math.min(LAYER, told.channels[layer] ?? 1) }, (_, i) => i)
  const label = filters.length ? `Ascend ${some.length > 1 ? `these ${some.length}` : "it"}` : "Ascend the layer"
  const all = element("button", { type: "button", class: "tool", "data-testid": "networks-finding-all", title: "Their pictures, as tiles on the page Ascent", onclick: see(some, some[0]) }, label)
  return [element("p", {}, element("b", {}, layer), ` ${text}`), element("div", { class: "chips" }, ...chips, more, all)]
}

const chip = (label, title, onclick) => element("button", { type: "button", class: "chip number", "data-testid": "networks-filter", title: `${title}. See what excites it`, onclick }, label)
