// The page Atlas: fetches an atlas when Python says that there is a newer one; of its wall only what is seen is there.

import * as frame from "./frame.js"
import * as notices from "./notices.js"
import { byId, element, number, throttle, write } from "./text.js"

const WIDTH = 104 // px of a cell
const HEIGHT = 120
const AHEAD = 3 // rows that are kept above and below what is seen

let ask = () => {}
let atlases = []
let about = null // layers and filters of the chosen atlas
let fetching = false
let failed = null // version that could not be fetched
let rows = []
const look = { atlas: "", layer: "", channel: null, search: "", sort: "channel" }
const tiles = new Map() // of the wall: by channel

export function start(send) {
  ask = send
  const asked = new URLSearchParams(location.search)
  if (asked.get("page") === "atlas") {
    for (const name of ["atlas", "layer", "search", "sort"]) look[name] = (asked.get(name) ?? look[name]).slice(0, 200)
    if (/^\d{1,7}$/.test(asked.get("channel") ?? "")) look.channel = Number(asked.get("channel"))
  }
  byId("atlas-search").value = look.search
  byId("atlas-sort").value = look.sort
  if (!byId("atlas-sort").value) byId("atlas-sort").value = look.sort = "channel"
  byId("atlas-search").addEventListener("input", throttle(60, () => change({ search: byId("atlas-search").value })))
  byId("atlas-sort").addEventListener("change", () => change({ sort: byId("atlas-sort").value }))
  byId("atlas-choice").addEventListener("change", () => choose({ atlas: byId("atlas-choice").value, layer: "", channel: null }))
  byId("atlas-wall").addEventListener("scroll", paint, { passive: true })
  byId("atlas-wall").addEventListener("keydown", walk)
  new ResizeObserver(paint).observe(byId("atlas-wall"))
}

export const ready = () => {}

export function take(name, text) {
  if (name !== "atlases" || !text) return
  atlases = JSON.parse(text)
  if (!atlases.some((one) => one.id === look.atlas)) look.atlas = atlases[0]?.id ?? ""
  byId("atlas-choice").replaceChildren(...atlases.map((one) => element("option", { value: one.id }, `${one.model}, ${one.preset}, ${one.size} px`)))
  byId("atlas-choice").value = look.atlas
  show()
  void refresh()
}

export function seen(on) {
  if (on) {
    show()
    void refresh()
  }
}

const told = () => atlases.find((one) => one.id === look.atlas)
const layer = () => about?.layers.find((one) => one.layer === look.layer)

async function refresh() {
  const wanted = told()
  if (!wanted || fetching || frame.shown() !== "atlas") return
  if ((about?.id === wanted.id && about.version === wanted.version) || failed === wanted.version) return
  fetching = true
  try {
    const answer = await fetch(`atlas/${wanted.id}`)
    if (!answer.ok) throw new Error(answer.statusText)
    about = { ...(await answer.json()), id: wanted.id, version: wanted.version }
    failed = null
    notices.remove("atlas")
  } catch {
    failed = wanted.version
    notices.show({ id: "atlas", kind: "error", message: "The atlas could not be read.", hint: "What is shown stays.", action: { label: "Try again" } }, () => ((failed = null), refresh()))
  } finally {
    fetching = false
  }
  show()
  if (told() !== wanted) void refresh()
}

function change(what) {
  Object.assign(look, what)
  byId("atlas-wall").scrollTop = 0
  arrange()
  frame.place()
}

function choose(what) {
  Object.assign(look, what)
  show()
  void refresh()
  frame.place()
}

function show() {
  const one = told()
  const empty = byId("atlas-empty")
  empty.hidden = atlases.length > 0
  write(empty, "There is no atlas yet. Make one with: vizcore atlas MODEL")
  write(byId("atlas-facts"), one ? `${one.filters.toLocaleString()} filters of ${one.model}` : "")
  const layers = about?.id === look.atlas ? about.layers : []
  if (layers.length && !layer()) look.layer = layers[0].layer
  strip(layers)
  arrange()
}

function strip(layers) {
  const nav = byId("atlas-layers")
  const buttons = layers.map((one) => {
    const picture = one.first ? element("img", { src: `atlas/${about.id}/${one.first}.webp`, alt: "" }) : element("i")
    const size = one.height > 1 ? ` · ${one.height}×${one.width}` : ""
    return element("button", { type: "button", "data-layer": one.layer, "aria-current": String(one.layer === look.layer), onclick: () => choose({ layer: one.layer, channel: null }) },
      picture, element("span", {}, one.layer), element("small", {}, `${one.done} of ${one.channels}${size}`))
  })
  const focused = nav.contains(document.activeElement) ? document.activeElement.dataset.layer : null
  const at = nav.scrollLeft
  nav.replaceChildren(...buttons)
  nav.scrollLeft = at
  buttons.find((button) => button.dataset.layer === focused)?.focus()
}

const gain = (unit) => (unit.end ?? 0) - (unit.start ?? 0)

/** Whether a filter answers to a word: a number, a range, or a text of its status. */
function matches(unit, word) {
  const range = /^(\d+)-(\d+)$/.exec(word)
  if (range) return unit.channel >= Number(range[1]) && unit.channel <= Number(range[2])
  if (/^\d+$/.test(word)) return unit.channel === Number(word)
  return (unit.error ? `failed ${unit.error}` : (unit.status ?? "")).toLowerCase().includes(word)
}

const ORDERS = {
  channel: (a, b) => a.channel - b.channel,
  end: (a, b) => (b.end ?? -Infinity) - (a.end ?? -Infinity) || a.channel - b.channel,
  gain: (a, b) => gain(b) - gain(a) || a.channel - b.channel,
  status: (a, b) => String(a.status).localeCompare(String(b.status)) || a.channel - b.channel,
}

function arrange() {
  const all = (about?.id === look.atlas && layer()?.units) || []
  const words = look.search.toLowerCase().split(/[\s,]+/).filter(Boolean)
  rows = all.filter((unit) => words.every((word) => matches(unit, word))).sort(ORDERS[look.sort])
  write(byId("atlas-count"), rows.length === all.length ? `${all.length} filters` : `${rows.length} of ${all.length} filters`)
  for (const tile of tiles.values()) tile.remove()
  tiles.clear()
  paint()
  unit()
}

const across = () => Math.max(1, Math.floor(byId("atlas-length").clientWidth / WIDTH))

function paint() {
  const wall = byId("atlas-wall")
  const columns = across()
  byId("atlas-length").style.height = `${Math.ceil(rows.length / columns) * HEIGHT}px`
  const first = Math.max(0, Math.floor(wall.scrollTop / HEIGHT) - AHEAD) * columns
  const last = Math.min(rows.length, (Math.ceil((wall.scrollTop + wall.clientHeight) / HEIGHT) + AHEAD) * columns)
  const wanted = new Set()
  for (let at = first; at < last; at++) {
    const one = rows[at]
    wanted.add(one.channel)
    if (!tiles.has(one.channel)) {
      const picture = element("img", { alt: "", decoding: "async", draggable: false, src: one.tile ? `atlas/${about.id}/${one.tile}.webp` : null })
      const tile = element("button", { type: "button", class: "unit", role: "option", tabIndex: -1, "data-channel": String(one.channel), title: one.error ?? one.status ?? "", onclick: () => choose({ channel: one.channel }) }, picture, String(one.channel))
      tiles.set(one.channel, tile)
      byId("atlas-length").append(tile)
    }
    const tile = tiles.get(one.channel)
    tile.style.transform = `translate(${(at % columns) * WIDTH}px, ${Math.floor(at / columns) * HEIGHT}px)`
    tile.setAttribute("aria-selected", String(one.channel === look.channel))
  }
  for (const [channel, tile] of tiles) {
    if (wanted.has(channel)) continue
    tile.remove()
    tiles.delete(channel)
  }
}

function walk(event) {
  const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across(), ArrowUp: -across() }[event.key]
  if (!by || !rows.length) return
  event.preventDefault()
  event.stopPropagation()
  const at = rows.findIndex((one) => one.channel === look.channel)
  const next = at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))
  const wall = byId("atlas-wall")
  const top = Math.floor(next / across()) * HEIGHT
  if (top < wall.scrollTop) wall.scrollTop = top
  if (top + HEIGHT > wall.scrollTop + wall.clientHeight) wall.scrollTop = top + HEIGHT - wall.clientHeight
  choose({ channel: rows[next].channel })
  wall.focus()
}

/** The chosen filter at large. */
function unit() {
  const pane = byId("atlas-unit")
  const one = about?.id === look.atlas ? layer()?.units.find((other) => other.channel === look.channel) : null
  pane.hidden = !one
  if (!one) return
  const of = layer()
  const facts = [["score", number(one.end)], ["at the start", number(one.start)], ["status", one.error ?? one.status ?? ""], ["sees", of.receptive_field ? `${of.receptive_field} px` : "the whole picture"]]
  const parts = [element("h2", {}, `${of.layer} · ${one.channel}`)]
  if (one.tile) {
    const picture = `atlas/${about.id}/${one.tile}.png`
    parts.push(element("img", { class: "picture", src: picture, alt: `What filter ${one.channel} of ${of.layer} looks for` }))
    parts.push(element("div", { class: "bar buttons" },
      element("button", { type: "button", class: "primary", "data-testid": "atlas-live", onclick: () => ask({ do: "live", atlas: about.id, tile: one.tile }) }, "Continue live"),
      element("a", { class: "tool", href: picture, download: `${of.layer}-${one.channel}.png`, title: "The picture, with its recipe inside" }, "Save")))
  }
  parts.push(element("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])))
  pane.replaceChildren(...parts)
}

export function query() {
  const parts = new URLSearchParams()
  if (look.atlas) parts.set("atlas", look.atlas)
  if (look.layer) parts.set("layer", look.layer)
  if (look.channel !== null) parts.set("channel", String(look.channel))
  if (look.search) parts.set("search", look.search)
  if (look.sort !== "channel") parts.set("sort", look.sort)
  return String(parts)
}

export const actions = { search: () => byId("atlas-search").focus() }

/** What is shown, for tests and the curious. */
export const state = () => ({ atlas: look.atlas, layer: look.layer, channel: look.channel, rows: rows.map((one) => one.channel), there: tiles.size, layers: about?.layers.map((one) => one.layer) ?? [] })
