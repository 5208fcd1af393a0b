// The page Atlas: fetches an atlas when Python says that there is a newer one; of its wall only what is seen is there.

import { caption, offered, orders, sort } from "./atlassort.js"
import { sections } from "./atlasunit.js"
import * as frame from "./frame.js"
import * as notices from "./notices.js"
import { byId, element, throttle, write } from "./text.js"

const WIDTH = 104 // px of a cell
const HEIGHT = 120
const AHEAD = 3 // rows that are kept above and below what is seen
const FLYING = 150 // px from one frame to the next at which nobody reads: pictures wait until it is slower
const CALM = 90 // ms

let ask = () => {}
let atlases = []
let about = null // layers and filters of the chosen atlas
let fetching = false
let failed = null // version that could not be fetched
let rows = []
let beside = { key: "", version: "", content: null } // what lies beside the chosen filter
const look = { atlas: "", layer: "", channel: null, search: "", sort: "channel" }
const tiles = new Map() // of the wall: by channel
const spare = [] // those that have left it, for those that come: new ones are slow, and garbage for the browser
let at = 0 // px to which the wall was scrolled
let calm = 0 // timer
let stripped = "" // the layer that the strip was scrolled to
let written = "" // what the tiles say is of this version, layer and order

export function start(send) {
  ask = send
  if (new URLSearchParams(location.search).get("page") === "atlas") read()
  byId("atlas-search").addEventListener("input", throttle(60, () => change({ search: byId("atlas-search").value })))
  byId("atlas-sort").addEventListener("change", () => change({ sort: byId("atlas-sort").value }))
  byId("atlas-choice").addEventListener("change", () => choose({ atlas: byId("atlas-choice").value, layer: "", channel: null }))
  byId("atlas-wall").addEventListener("scroll", paint, { passive: true })
  byId("atlas-wall").addEventListener("keydown", walk)
  new ResizeObserver(paint).observe(byId("atlas-wall"))
  addEventListener("popstate", () => {
    if (new URLSearchParams(location.search).get("page") !== "atlas") return
    read()
    show()
    reveal()
  })
}

/** Takes what the address says. */
function read() {
  const asked = new URLSearchParams(location.search)
  for (const name of ["atlas", "layer"]) look[name] = (asked.get(name) ?? look[name]).slice(0, 200)
  look.search = (asked.get("search") ?? "").slice(0, 200)
  look.sort = orders.includes(asked.get("sort")) ? asked.get("sort") : "channel"
  look.channel = /^\d{1,7}$/.test(asked.get("channel") ?? "") ? Number(asked.get("channel")) : null
  byId("atlas-search").value = look.search
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

/** Opens a filter that another one names; the browser's way back leads to that one. */
function open(name, channel) {
  frame.write()
  history.pushState(null, "", location.href)
  Object.assign(look, { layer: name, channel, search: "" })
  byId("atlas-search").value = ""
  show()
  frame.write()
  reveal()
  byId("atlas-unit").scrollTop = 0
}

/** Scrolls the wall to the chosen filter. */
function reveal() {
  const at = rows.findIndex((one) => one.channel === look.channel)
  if (at < 0) return
  const wall = byId("atlas-wall")
  const top = Math.floor(at / across()) * HEIGHT
  if (top < wall.scrollTop) wall.scrollTop = top
  if (top + HEIGHT > wall.scrollTop + wall.clientHeight) wall.scrollTop = top + HEIGHT - wall.clientHeight
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
  if (look.layer !== stripped) buttons.find((button) => button.dataset.layer === look.layer)?.scrollIntoView({ block: "nearest", inline: "nearest" })
  if (layers.length) stripped = look.layer
  buttons.find((button) => button.dataset.layer === focused)?.focus()
}

/** Whether a filter answers to a word: a number, a range, or a text of its status. */
function matches(unit, word) {
  const range = /^(\d+)-(\d+)$/.exec(word)
  if (range) return unit.channel >= Number(range[1]) && unit.channel <= Number(range[2])
  if (/^\d+$/.test(word)) return unit.channel === Number(word)
  return (unit.error ? `failed ${unit.error}` : (unit.status ?? "")).toLowerCase().includes(word)
}

/** The orders that the layer has numbers for. */
function choices(units) {
  const select = byId("atlas-sort")
  const wanted = offered(units, look.sort)
  if (String(wanted.map(([name]) => name)) !== String([...select.options].map((one) => one.value))) {
    select.replaceChildren(...wanted.map(([value, label]) => element("option", { value }, label)))
  }
  select.value = look.sort
}

function arrange() {
  const all = (about?.id === look.atlas && layer()?.units) || []
  choices(all)
  const words = look.search.toLowerCase().split(/[\s,]+/).filter(Boolean)
  rows = sort(all.filter((unit) => words.every((word) => matches(unit, word))), look.sort)
  write(byId("atlas-count"), rows.length === all.length ? `${all.length} filters` : `${rows.length} of ${all.length} filters`)
  const key = JSON.stringify([about?.id, about?.version, look.layer, look.sort])
  if (key !== written) for (const channel of tiles.keys()) leave(channel)
  written = key
  paint()
  unit()
}

/** Sets a style that is another one: even the same leaves garbage behind, sixty times a second for each tile. */
function put(part, name, value) {
  if (part[`last_${name}`] === value) return
  part[`last_${name}`] = part.style[name] = value
}

function leave(channel) {
  const tile = tiles.get(channel)
  if (tile === document.activeElement) byId("atlas-wall").focus({ preventScroll: true })
  tile.firstChild.removeAttribute("src") // what was decoded is let go at once, not when memory is short
  tiles.delete(channel)
  spare.push(tile)
}

function enter(one) {
  const picture = () => element("img", { alt: "", decoding: "async", draggable: false })
  const tile = spare.pop() ?? element("button", { type: "button", class: "unit", role: "option", tabIndex: -1, onclick: (event) => choose({ channel: Number(event.currentTarget.dataset.channel) }) }, picture(), element("span"))
  tile.dataset.channel = one.channel
  tile.title = one.error ?? one.status ?? ""
  tile.lastChild.textContent = [one.channel, caption(one, look.sort)].filter((text) => text !== "").join(" · ")
  tiles.set(one.channel, tile)
  if (!tile.isConnected) byId("atlas-length").append(tile)
  return tile
}

const across = () => Math.max(1, Math.floor(byId("atlas-length").clientWidth / WIDTH))

function paint() {
  const wall = byId("atlas-wall")
  const columns = across()
  put(byId("atlas-length"), "height", `${Math.ceil(rows.length / columns) * HEIGHT}px`)
  const flying = Math.abs(wall.scrollTop - at) > FLYING
  at = wall.scrollTop
  clearTimeout(calm)
  if (flying) calm = setTimeout(paint, CALM)
  const first = Math.max(0, Math.floor(at / HEIGHT) - AHEAD) * columns
  const last = Math.min(rows.length, (Math.ceil((at + wall.clientHeight) / HEIGHT) + AHEAD) * columns)
  const wanted = new Set(rows.slice(first, last).map((one) => one.channel))
  for (const channel of tiles.keys()) if (!wanted.has(channel)) leave(channel)
  for (let place = first; place < last; place++) {
    const one = rows[place]
    const tile = tiles.get(one.channel) ?? enter(one)
    if (one.tile && !flying && !tile.firstChild.hasAttribute("src")) tile.firstChild.src = `atlas/${about.id}/${one.tile}.webp`
    put(tile, "transform", `translate(${(place % columns) * WIDTH}px, ${Math.floor(place / columns) * HEIGHT}px)`)
    const chosen = String(one.channel === look.channel)
    if (tile.ariaSelected !== chosen) tile.ariaSelected = chosen
  }
  for (const tile of spare) tile.remove()
}

function walk(event) {
  const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across(), ArrowUp: -across() }[event.key]
  if (!by || !rows.length) return
  event.preventDefault()
  event.stopPropagation()
  const at = rows.findIndex((one) => one.channel === look.channel)
  const next = at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))
  choose({ channel: rows[next].channel })
  reveal()
  byId("atlas-wall").focus()
}

const found = (name, channel) => about?.layers.find((one) => one.layer === name)?.units.find((one) => one.channel === channel)

/** The chosen filter at large. */
function unit() {
  const pane = byId("atlas-unit")
  const one = about?.id === look.atlas ? layer()?.units.find((other) => other.channel === look.channel) : null
  pane.hidden = !one
  if (!one) return
  const key = JSON.stringify([about.id, look.layer, one.channel])
  if (beside.key !== key || beside.version !== about.version) {
    beside = { key, version: about.version, content: beside.key === key ? beside.content : null }
    void fetchBeside(key, about.id, look.layer, one.channel)
  }
  pane.replaceChildren(...sections(layer(), one, beside.content, {
    picture: (of) => `atlas/${about.id}/${of.tile}.png`,
    thumb: (of) => `atlas/${about.id}/${of.tile}.webp`,
    find: found,
    open,
    ascent: (name, channel) => `?${new URLSearchParams({ model: told()?.model ?? "", layer: name, filters: channel })}`,
    live: (of) => ask({ do: "live", atlas: about.id, tile: of.tile }),
  }))
}

async function fetchBeside(key, id, name, channel) {
  try {
    const answer = await fetch(`atlas/${id}/unit?${new URLSearchParams({ layer: name, channel })}`)
    if (!answer.ok) throw new Error(answer.statusText)
    const content = await answer.json()
    if (beside.key !== key) return // another one was chosen meanwhile
    beside.content = content
  } catch {
    if (beside.key === key) beside.content = { unit: { why: "What lies beside this filter could not be read." } }
  }
  if (beside.key === key) unit()
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
export const state = () => ({ atlas: look.atlas, layer: look.layer, channel: look.channel, rows: rows.map((one) => one.channel), there: tiles.size, layers: about?.layers.map((one) => one.layer) ?? [], beside: beside.content && Object.keys(beside.content) })
