// The page Image: asks the engine what a layer makes of the picture, and what in it the held unit answers to.
// Maps and backward views are asked for one at a time each; what was wished meanwhile is asked for next.

import * as frame from "./frame.js"
import * as grid from "./grid.js"
import * as notices from "./notices.js"
import * as sanity from "./sanity.js"
import * as source from "./source.js"
import { MODES, maps as decode, paint, sheet } from "./colours.js"
import { choose, complain, offer, post } from "./look.js"
import { byId, element, number, write } from "./text.js"

const LIVE_STRIP = 1000 // ms between two strips of a camera
const LIVE_SORT = 1000 // ms between two orders of a camera: maps that jump about cannot be looked at
const REST = 4 // a camera's backward view is followed by maps alone for so many times as long as it took
const QUICK = ["deconv", "guided", "saliency", "input-gradient", "gradcam", "guided-gradcam"] // follow a camera

let ask = () => {}
let network = null
const wish = { layer: "", held: null, method: "deconv", mode: "gray", shared: true, sort: "channel", share: 0.2 }
let asked = new URLSearchParams()
let seen_ = false
let shown = null // {model, layer, source, maps, peaks, classes, seconds} that is on the page
let order = []
let ordered = 0
let times = []
let updates = 0
let striped = null // "model source" of the strip that is shown
let stripAt = 0
let back = null // {key, ...} of the backward view that is shown

export function start(send) {
  ask = send
  const query = new URLSearchParams(location.search)
  if (query.get("page") === "image") asked = query
  if (MODES.includes(asked.get("show"))) wish.mode = asked.get("show")
  if (asked.get("scale") === "own") wish.shared = false
  if (asked.get("sort") === "response") wish.sort = "response"
  if (/^[a-z-]{1,20}$/.test(asked.get("method") ?? "")) wish.method = asked.get("method")
  byId("image-show").value = wish.mode
  byId("image-shared").checked = wish.shared
  byId("image-sort").value = wish.sort
  grid.start((channel) => hold({ layer: wish.layer, channel }))
  source.start()
  source.listen(() => void lookNow())
  byId("image-model").addEventListener("change", () => ask({ do: "network", model: byId("image-model").value }))
  byId("image-layer").addEventListener("change", () => chooseLayer(byId("image-layer").value))
  byId("image-layer-previous").addEventListener("click", () => step(-1))
  byId("image-layer-next").addEventListener("click", () => step(1))
  byId("image-show").addEventListener("change", () => restyle({ mode: byId("image-show").value }))
  byId("image-shared").addEventListener("change", () => restyle({ shared: byId("image-shared").checked }))
  byId("image-sort").addEventListener("change", () => ((ordered = 0), restyle({ sort: byId("image-sort").value })))
  byId("image-method").addEventListener("change", () => {
    wish.method = byId("image-method").value
    tellMethod()
    frame.place()
    void lookBack()
  })
  byId("image-map").addEventListener("click", (event) => {
    const { maps } = shown
    if (maps.height * maps.width > 1) hold({ layer: wish.held.layer, channel: wish.held.channel, ...neuronAt(event) })
  })
  byId("image-whole").addEventListener("click", () => hold({ layer: wish.held.layer, channel: wish.held.channel }))
  sanity.start(() => {
    const picture = shown?.source
    if (!picture?.blob || !wish.held) return null
    return { fields: { model: network.model, ...wish.held, method: wish.method }, picture }
  })
  byId("image-share").addEventListener("change", () => ((wish.share = Number(byId("image-share").value)), void lookBack()))
}

export const ready = () => {}

export function take(name, text) {
  if (!text) return name === "busy" && write(byId("image-busy"), "")
  const told = JSON.parse(text)
  if (name === "busy") write(byId("image-busy"), `${told} …`)
  if (name === "models") offer(byId("image-model"), told, network?.model)
  if (name === "network") enter(told)
}

/** The page is seen, or not: then the camera goes off and a video waits. */
export function seen(on) {
  seen_ = on
  if (!on) return source.rest()
  if (network) begin()
}

/** Looks at a picture of a folder with a unit held; `given` is as in the address. */
export function visit(given) {
  asked = new URLSearchParams(given)
  if (network?.model === given.model) enter(network, true)
  else ask({ do: "network", model: given.model })
}

export const drops = "Drop a picture or a video"

/** A file that was dropped: pictures are for this page, archives for the frame. */
export function bring(file) {
  if (/\.(zip|vizrun)$/i.test(file.name)) return false
  source.file(file)
  return true
}

// -- networks and layers

function enter(told, anew = false) {
  const same = network?.model === told.model && !anew
  network = told
  const select = byId("image-model")
  choose(select, told.model)
  select.title = told.title
  if (same) return
  const wanted = asked.get("layer")
  const layers = told.layers.map((layer) => layer.path)
  wish.layer = layers.includes(wanted) ? wanted : layers.includes(told.layer) ? told.layer : layers[0]
  wish.held = heldOf(asked.get("unit"))
  byId("image-layer").replaceChildren(...told.layers.map((layer) => element("option", { value: layer.path }, `${layer.path} (${layer.channels})`)))
  byId("image-layer").value = wish.layer
  byId("image-method").replaceChildren(...told.methods.map((method) => element("option", { value: method.name }, method.why ? `${method.label} (not here)` : method.label)))
  if (!told.methods.some((method) => method.name === wish.method)) wish.method = told.methods[0].name
  byId("image-method").value = wish.method
  tellMethod()
  if (seen_) begin()
}

function begin() {
  if (asked.get("picture")) {
    const wanted = Object.fromEntries(["data", "only", "picture"].map((name) => [name, asked.get(name) ?? ""]))
    asked.delete("picture")
    return void source.real(wanted)
  }
  if (!source.current()) {
    const named = asked.get("example")
    const first = document.querySelector("[data-example]")
    return void source.example(document.querySelector(`[data-example="${CSS.escape(named ?? "")}"]`) ? named : first.dataset.example)
  }
  void lookNow()
}

/** "12" is a channel of the layer, "12@3,4" its neuron in row 3 and column 4, "class:3" a class. */
function heldOf(text) {
  const found = /^(class:)?(\d{1,6})(?:@(\d{1,5}),(\d{1,5}))?$/.exec(text ?? "")
  if (!found) return null
  const [channel, y, x] = [found[2], found[3], found[4]].map(Number)
  if (found[1]) return channel < network.classes.length ? { layer: "", channel } : null
  const { channels, height, width } = network.layers.find((layer) => layer.path === wish.layer)
  if (channel >= channels) return null
  return y < height && x < width ? { layer: wish.layer, channel, y, x } : { layer: wish.layer, channel } // NaN is neither
}

function chooseLayer(path) {
  const select = byId("image-layer")
  choose(select, path)
  wish.layer = path
  if (wish.held?.layer) wish.held = null
  markStrip()
  frame.place()
  void lookNow()
}

function step(by) {
  const paths = network?.layers.map((layer) => layer.path) ?? []
  const next = paths[paths.indexOf(wish.layer) + by]
  if (next) chooseLayer(next)
}

// -- the two questions

let looking = false
let more = false

/** Asks for the maps, again and again while the camera is on or a video plays. */
async function lookNow() {
  more = true
  if (looking || !network || !seen_) return
  looking = true
  try {
    while ((more || source.live()) && seen_) {
      more = false
      if (!(await lookOnce())) break
    }
  } finally {
    looking = false
    if (more && seen_) void lookNow()
  }
}

async function lookOnce() {
  const picture = await source.snapshot()
  if (!picture) return source.live()
  const { model } = network
  const { layer } = wish
  try {
    if (!source.live()) byId("image-centre").classList.add("waiting")
    const told = await post("maps", { model, layer }, picture.blob)
    source.accepted(picture)
    if (!source.moving(picture)) notices.remove("image")
    if (network.model === model && wish.layer === layer) showMaps(told, { model, layer, source: picture })
    await lookStrip(picture)
  } catch (error) {
    const wasLive = source.live()
    if (wasLive) source.stop()
    const returned = error.kind === "PictureError" && source.refused(picture)
    if (!returned && shown && shown.model === network.model && wish.layer === layer && layer !== shown.layer) {
      wish.layer = shown.layer // a layer that cannot be shown
      byId("image-layer").value = shown.layer
    }
    complain("image", error, error.kind === "PictureError" ? null : () => void lookNow())
    return false
  } finally {
    byId("image-centre").classList.remove("waiting")
  }
  return true
}

async function lookStrip(picture) {
  const key = `${network.model} ${picture.kind} ${picture.name}`
  const due = source.live() ? performance.now() - stripAt > LIVE_STRIP : striped?.blob !== picture.blob || striped.key !== key
  if (!due || more) return
  const { model } = network
  const told = await post("strip", { model }, picture.blob)
  if (network.model !== model) return
  striped = { key, blob: picture.blob }
  stripAt = performance.now()
  showStrip(told)
}

let giving = null // the backward view that is asked for
let backDue = 0 // when a camera's next backward view may be asked for

/** Asks for the backward view of the held unit; what was asked before is given up unless the camera is on. */
async function lookBack() {
  const picture = shown?.source
  if (!picture?.blob || !wish.held || !network || !seen_ || shown.model !== network.model) return
  const method = network.methods.find((one) => one.name === wish.method)
  sanity.allow(!method.why)
  if (method.why) {
    giving?.abort()
    return tellBack(method.why, true)
  }
  const wanted = { ...wish.held, method: wish.method, share: wish.share }
  if (source.live() && sameUnit((giving ?? back)?.wanted, wanted) && (giving || performance.now() < backDue)) return // the next maps ask again
  giving?.abort()
  const began = performance.now()
  const mine = (giving = Object.assign(new AbortController(), { wanted }))
  if (!source.live()) {
    byId("image-back").classList.add("waiting")
    tellBack("computing …")
  }
  try {
    const told = await post("project", { model: network.model, ...wanted }, picture.blob, mine.signal)
    if (mine.signal.aborted) return
    backDue = performance.now() + REST * (performance.now() - began)
    await showBack(told, { ...wanted, wanted, model: network.model, source: picture })
  } catch (error) {
    if (error.name === "AbortError") return
    tellBack(error.message ? `${error.message} ${error.hint ?? ""}` : "The server does not answer.", true)
  } finally {
    if (giving === mine) {
      giving = null
      byId("image-back").classList.remove("waiting")
    }
  }
}

const sameUnit = (a, b) => Boolean(a) && ["layer", "channel", "y", "x", "method", "share"].every((name) => a[name] === b[name])

// -- what has come

function showMaps(told, about) {
  const fresh = shown?.layer !== about.layer || shown.model !== about.model
  shown = { ...about, maps: decode(told), peaks: told.peaks, classes: told.classes, seconds: told.seconds }
  if (fresh) ordered = 0
  if (!wish.held) wish.held = { layer: about.layer, channel: strongest()[0] }
  redraw()
  showClasses()
  showHeld()
  updates += 1
  const now = performance.now()
  times = [...times.filter((at) => now - at < 2000), now]
  const { count, size } = shown.maps
  const live = source.live() && times.length > 2 ? `, ${(((times.length - 1) * 1000) / (now - times[0])).toFixed(0)} pictures per second` : ""
  write(byId("image-facts"), `${count} ${count === 1 ? "map" : "maps"} of ${size[0]} × ${size[1]}${live}`)
  write(byId("image-time"), `${Math.max(1, Math.round(1000 * told.seconds))} ms in the network`)
  frame.place()
  if (!source.live() || QUICK.includes(wish.method)) void lookBack()
}

const strongest = () => [...shown.peaks.keys()].sort((a, b) => shown.peaks[b] - shown.peaks[a] || a - b)

function redraw() {
  const now = performance.now()
  if (!ordered || wish.sort === "channel" || now - ordered > LIVE_SORT || !source.live()) {
    order = wish.sort === "response" ? strongest() : [...shown.peaks.keys()]
    ordered = now
  }
  grid.show(shown.maps, order, wish)
  grid.mark(wish.held?.layer === shown.layer ? wish.held.channel : null)
}

function restyle(change) {
  Object.assign(wish, change)
  frame.place()
  if (shown) redraw()
  if (shown) showHeld()
}

function hold(unit) {
  wish.held = unit
  grid.mark(unit.layer === shown?.layer ? unit.channel : null)
  showClasses()
  showHeld()
  frame.place()
  void lookBack()
}

function showClasses() {
  const rows = shown.classes.map(([name, share]) => {
    const index = network.classes.indexOf(name)
    const channel = index >= 0 ? index : Number(/^class (\d+)$/.exec(name)?.[1] ?? -1)
    const on = wish.held?.layer === "" && wish.held.channel === channel
    const button = element("button", { type: "button", title: `Hold the class ${name}`, "aria-pressed": String(on), onclick: () => hold({ layer: "", channel }) }, element("span", {}, name), element("span", { class: "number" }, `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`))
    button.style.setProperty("--share", `${100 * share}%`)
    return element("li", {}, button)
  })
  const focused = [...byId("image-classes").children].findIndex((row) => row.contains(document.activeElement))
  byId("image-classes").replaceChildren(...(rows.length ? rows : [element("li", { class: "muted" }, "This network has no classes.")]))
  if (focused >= 0) rows[focused]?.firstChild.focus()
}

function showHeld() {
  const { held } = wish
  if (!held) return
  const own = held.layer === shown.layer && held.channel < shown.peaks.length
  const spot = held.y === undefined ? "" : ` at ${held.y}, ${held.x}`
  const name = held.layer ? `Unit ${held.channel}${spot} of ${held.layer}` : `Class ${network.classes[held.channel] ?? held.channel}`
  write(byId("image-unit"), name)
  const facts = byId("image-unit-facts")
  byId("image-map").parentElement.hidden = !own
  byId("image-whole").hidden = !own || !spot
  if (!own) return write(facts, held.layer ? "Its layer is not shown." : "The score of this class, before softmax.")
  const { maps } = shown
  const area = maps.height * maps.width
  const one = { ...maps, data: maps.data.subarray(held.channel * area, (held.channel + 1) * area), count: 1, low: maps.low.slice(held.channel, held.channel + 1), high: maps.high.slice(held.channel, held.channel + 1) }
  const canvas = byId("image-map")
  Object.assign(canvas, { width: maps.width, height: maps.height })
  canvas.getContext("2d").drawImage(sheet(paint(one, wish.mode, false)), 0, 0)
  markNeuron()
  if (spot) {
    const value = one.data[Math.min(maps.height - 1, Math.floor(held.y / maps.pool)) * maps.width + Math.min(maps.width - 1, Math.floor(held.x / maps.pool))]
    return write(facts, `This neuron alone: ${number(value)}${maps.pool > 1 ? " or so" : ""}; the peak of the map is ${number(shown.peaks[held.channel])}.`)
  }
  const place = strongest().indexOf(held.channel) + 1
  const peak = shown.peaks[held.channel]
  const at = one.data.indexOf(one.high[0])
  const where = `${Math.floor(at / maps.width) * maps.pool}, ${(at % maps.width) * maps.pool}`
  const more = maps.height * maps.width > 1 ? " A click on the map holds the neuron there." : ""
  write(facts, peak > 0 || one.low[0] < 0 ? `Peak ${number(peak)} at ${where}; number ${place} of ${shown.peaks.length} on this picture.${more}` : "It is silent on this picture.")
}

/** The position of a map under the pointer. */
function neuronAt(event) {
  const { maps } = shown
  const box = byId("image-map").getBoundingClientRect()
  const [y, x] = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width]
  const inside = (share, length, whole) => Math.min(whole - 1, Math.max(0, Math.floor(share * length)) * maps.pool)
  return { y: inside(y, maps.height, maps.size[0]), x: inside(x, maps.width, maps.size[1]) }
}

function markNeuron() {
  const mark = byId("image-neuron")
  const { held } = wish
  const { maps } = shown
  mark.hidden = held.y === undefined
  if (mark.hidden) return
  const [tall, wide] = [(100 * maps.pool) / maps.size[0], (100 * maps.pool) / maps.size[1]]
  Object.assign(mark.style, { top: `${(100 * held.y) / maps.size[0]}%`, left: `${(100 * held.x) / maps.size[1]}%`, height: `${tall}%`, width: `${wide}%` })
}

function showStrip(layers) {
  const tiles = layers.map((layer) => {
    const canvas = element("canvas", { width: layer.shape[2], height: layer.shape[1] })
    canvas.getContext("2d").drawImage(sheet(paint(decode(layer), "normalised", false)), 0, 0)
    const title = `${layer.layer}: strongest is ${layer.channel}, ${number(layer.peak)}`
    return element("button", { type: "button", class: "glimpse", title, "data-layer": layer.layer, onclick: () => chooseLayer(layer.layer) }, canvas, element("span", {}, layer.layer))
  })
  const strip = byId("image-strip")
  const at = strip.scrollLeft
  strip.replaceChildren(...tiles)
  strip.scrollLeft = at
  markStrip()
}

function markStrip() {
  for (const tile of byId("image-strip").children) tile.setAttribute("aria-pressed", String(tile.dataset.layer === wish.layer || tile.dataset.layer.startsWith(`${wish.layer}.`)))
}

async function showBack(told, about) {
  const names = ["original", "heat", "focus", "relevance"]
  const pictures = await Promise.all(names.map((name) => createImageBitmap(new Blob([told.panes[name]], { type: "image/png" }))))
  back = { ...about, score: told.score, intercepted: told.intercepted, facts: told.facts, note: told.note }
  names.forEach((name, index) => {
    const canvas = byId(`image-${name}`)
    Object.assign(canvas, { width: pictures[index].width, height: pictures[index].height })
    canvas.getContext("2d").drawImage(pictures[index], 0, 0)
    pictures[index].close()
  })
  const parts = [`score ${number(told.score)}`]
  if (told.intercepted !== null) parts.push(`${told.intercepted} rectifiers`)
  if (told.facts.completeness_error !== undefined) parts.push(`completeness within ${(100 * told.facts.completeness_error).toFixed(1)} %`)
  if (told.facts.of_layer) parts.push(`maps of ${told.facts.of_layer}`)
  write(byId("image-score"), parts.join(" · "))
  tellBack(told.note)
  sanity.fits()
}

function tellBack(text, stale = false) {
  write(byId("image-note"), text)
  byId("image-back").classList.toggle("stale", stale && Boolean(back))
  byId("image-note").classList.toggle("wrong", stale)
}

function tellMethod() {
  const method = network.methods.find((one) => one.name === wish.method)
  write(byId("image-help"), `${method.help} (${method.paper})`)
}

// -- address, keys, tests

export function query() {
  const parts = new URLSearchParams()
  if (!network) return String(new URLSearchParams([...asked].filter(([name]) => name !== "page")))
  parts.set("model", network.model)
  parts.set("layer", wish.layer)
  if (wish.held) parts.set("unit", wish.held.layer ? `${wish.held.channel}${wish.held.y === undefined ? "" : `@${wish.held.y},${wish.held.x}`}` : `class:${wish.held.channel}`)
  parts.set("method", wish.method)
  if (wish.mode !== "gray") parts.set("show", wish.mode)
  if (!wish.shared) parts.set("scale", "own")
  if (wish.sort !== "channel") parts.set("sort", wish.sort)
  if (source.current()?.kind === "example") parts.set("example", source.current().name)
  if (source.current()?.kind === "real") for (const [name, value] of Object.entries(source.current().from)) if (value) parts.set(name, value)
  markStrip()
  return String(parts)
}

export const actions = {
  playVideo: () => byId("image-film").hidden || byId("image-play").click(),
  previousLayer: () => step(-1),
  nextLayer: () => step(1),
  camera: () => byId("image-camera").click(),
  search: () => byId("image-layer").focus(),
}

/** What is shown, for tests and the curious. */
export const state = () => ({
  model: shown?.model ?? null, layer: shown?.layer ?? null, source: shown?.source.name ?? null, kind: shown?.source.kind ?? null,
  count: shown?.peaks.length ?? 0, peaks: shown?.peaks ?? [], order, held: wish.held, live: source.live(), looks: times.length, updates, taken: shown?.source.at ?? 0,
  busy: looking || Boolean(giving), check: sanity.state(), back: back && { layer: back.layer, channel: back.channel, y: back.y ?? null, x: back.x ?? null, method: back.method, score: back.score, source: back.source.name }, strip: byId("image-strip").children.length,
})
