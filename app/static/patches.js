// The page Patches: which parts of real pictures excite each channel of a layer most. Python begins and ends passes over
// the pictures; what they have found so far is fetched from patches/ (app/picturing.py), anew while a pass goes on.

import * as dropping from "./dropping.js"
import * as files from "./files.js"
import * as frame from "./frame.js"
import * as notices from "./notices.js"
import * as unit from "./patchunit.js"
import * as wall from "./patchwall.js"
import { unpack } from "./colours.js"
import { choose, complain, offer } from "./look.js"
import { byId, element, number, write } from "./text.js"

const AGAIN = 2000 // ms between two looks at what a pass has found
const SORTS = ["channel", "response", "selectivity", "sparsity"]

let ask = () => {}
let network = null
let asked = new URLSearchParams()
let seen_ = false
let offered = [] // folders that are known
let scan = null // what Python says of the pass
let begun = 0 // number of the pass that this page has heard of last
let facts = null // what is shown
let fetching = null
let more = false
let due = null // timer of the next look
let start_ = false // a pass is to begin as soon as it is known what is there
const wish = { layer: "", data: "", only: "", channel: null, sort: "channel" }

export function start(send) {
  ask = send
  const query = new URLSearchParams(location.search)
  if (query.get("page") === "patches") asked = query
  wish.data = (asked.get("data") ?? "").slice(0, 4096)
  wish.only = (asked.get("only") ?? "").slice(0, 200)
  if (SORTS.includes(asked.get("sort"))) wish.sort = asked.get("sort")
  byId("patches-sort").value = wish.sort
  byId("patches-data").value = wish.data
  byId("patches-only").value = wish.only
  byId("patches-model").addEventListener("change", () => ask({ do: "network", model: byId("patches-model").value }))
  byId("patches-layer").addEventListener("change", () => chooseLayer(byId("patches-layer").value))
  byId("patches-layer-previous").addEventListener("click", () => step(-1))
  byId("patches-layer-next").addEventListener("click", () => step(1))
  byId("patches-sort").addEventListener("change", () => {
    wish.sort = byId("patches-sort").value
    frame.place()
    draw()
  })
  byId("patches-form").addEventListener("submit", (event) => {
    event.preventDefault()
    if (running()) return ask({ do: "stop" })
    if (!byId("patches-data").value.trim()) return byId("patches-data").focus()
    read()
    begin()
  })
  for (const name of ["patches-data", "patches-only"]) byId(name).addEventListener("change", () => (read(), void look(true)))
  byId("patches-ascend").addEventListener("click", () => ask({ do: "ascend", model: network.model, layer: facts.layer, channel: wish.channel }))
  wall.start(hold, address)
  unit.start(link)
}

export const ready = () => {}

export function take(name, text) {
  const told = text ? JSON.parse(text) : null
  if (name === "busy") write(byId("patches-busy"), told ? `${told} …` : "")
  if (!told) return
  if (name === "models") offer(byId("patches-model"), told, network?.model)
  if (name === "network") enter(told)
  if (name === "folders") list(told)
  if (name === "scan") follow(told)
  if (name === "dropped" && told.data !== wish.data) {
    fill({ name: told.data, only: "" })
    void look(true)
  }
}

export const drops = "Drop a folder or zip of pictures"

/** A folder that is dropped is sent; Python says under which name its pictures are known then. */
export function bring(file, transfer) {
  const given = dropping.pictures(transfer)
  if (!given) return false
  notices.remove("patches")
  write(byId("patches-note"), `Reading ${given.name} …`)
  void dropping.gather(given).then((whole) => {
    write(byId("patches-note"), "")
    if (whole) files.send(whole, given.name, (token) => ask({ do: "dropped", token, name: given.name }))
  })
  return true
}

export function seen(on) {
  seen_ = on
  clearTimeout(due)
  if (on && network) void look(!facts)
}

/** Shows a channel of another page; `begin`: a pass over the pictures that were looked through last is to begin. */
export function visit({ begin: now = false, ...given }) {
  asked = new URLSearchParams(Object.entries(given).filter(([, value]) => value !== null && value !== undefined))
  start_ = now
  if (given.data) Object.assign(wish, { data: given.data, only: given.only ?? "" })
  frame.go("patches")
  if (network?.model === given.model) place()
  else ask({ do: "network", model: given.model })
}

// -- what is looked at

function enter(told) {
  const same = network?.model === told.model
  network = told
  choose(byId("patches-model"), told.model)
  byId("patches-model").title = told.title
  if (same) return
  byId("patches-layer").replaceChildren(...told.layers.map((layer) => element("option", { value: layer.path }, `${layer.path} (${layer.channels})`)))
  place()
}

/** Goes where the address or another page leads. */
function place() {
  const layers = network.layers.map((layer) => layer.path)
  const wanted = asked.get("layer")
  wish.layer = layers.includes(wanted) || (wanted && asked.get("model") === network.model) ? wanted : layers.includes(wish.layer) ? wish.layer : layers.includes(network.layer) ? network.layer : layers[0]
  wish.channel = /^\d{1,6}$/.test(asked.get("channel") ?? "") ? Number(asked.get("channel")) : null
  asked = new URLSearchParams()
  choose(byId("patches-layer"), wish.layer)
  settle()
}

/** Looks as soon as network and pictures are known. */
function settle() {
  if (!wish.data && offered.length) fill(offered[0])
  if (network && wish.data && seen_) void look(true)
}

function list(folders) {
  offered = folders
  const short = (name) => name.split(/[\\/]/).filter(Boolean).pop() ?? name // of "dropped:TOKEN/NAME", too
  byId("patches-folders").replaceChildren(
    ...folders.map((one) => {
      const text = (one.name === "examples" ? "bundled examples" : short(one.name)) + (one.only ? ` (${one.only})` : "")
      return element("button", { type: "button", class: "tool small", title: one.name, "data-folder": one.name, "data-only": one.only, "aria-pressed": "false", onclick: () => (fill(one), void look(true)) }, text)
    }),
  )
  mark()
  if (!wish.data) settle()
}

function fill(folder) {
  Object.assign(wish, { data: folder.name, only: folder.only })
  byId("patches-data").value = wish.data
  byId("patches-only").value = wish.only
}

function read() {
  Object.assign(wish, { data: byId("patches-data").value.trim(), only: byId("patches-only").value.trim() })
}

function mark() {
  for (const button of byId("patches-folders").children) button.setAttribute("aria-pressed", String(button.dataset.folder === wish.data && (button.dataset.only ?? "") === wish.only))
}

function chooseLayer(path) {
  wish.layer = path
  wish.channel = null
  choose(byId("patches-layer"), path)
  void look()
}

function step(by) {
  const paths = network?.layers.map((layer) => layer.path) ?? []
  const next = paths[paths.indexOf(wish.layer) + by]
  if (next) chooseLayer(next)
}

const about = () => ({ model: network.model, layer: wish.layer, data: wish.data, only: wish.only })
const same = (a, b) => ["model", "layer", "data", "only"].every((name) => a?.[name] === b?.[name])
const running = () => scan?.state === "running" && Boolean(network) && same(scan, about())

/** The address of something that was found. */
const address = (what, more_) => `patches/${what}?${new URLSearchParams({ ...facts.about, ...more_ })}`

// -- passes over the pictures

function begin() {
  if (!network || !wish.data) return
  notices.remove("patches")
  ask({ do: "scan", ...about() })
}

function follow(told) {
  const fresh = told.n !== begun || told.state !== scan?.state
  begun = told.n
  scan = told
  progress()
  if (fresh && seen_ && network && same(told, about())) void look()
}

function progress() {
  const on = running()
  const rest = facts && same(facts.about, network && about()) ? facts : null
  const button = byId("patches-scan")
  write(button, on ? "Stop" : rest?.done && rest.done < rest.pictures ? "Go on" : "Find their patches")
  button.disabled = !on && Boolean(rest?.pictures) && rest.done === rest.pictures
  const done = on ? Math.max(scan.done, rest?.done ?? 0) : (rest?.done ?? 0)
  const bar = byId("patches-bar")
  bar.hidden = !on
  if (rest?.pictures) bar.value = done / rest.pictures
  else bar.removeAttribute("value")
  if (!rest) return write(byId("patches-count"), on ? "looking …" : "")
  const all = `${rest.pictures} ${rest.pictures === 1 ? "picture" : "pictures"}`
  write(byId("patches-count"), done === rest.pictures ? `${all}, all looked through` : done ? `${done} of ${all} looked through${on ? "" : ", stopped"}` : on ? `${all}, beginning …` : `${all}, not looked through yet`)
}

// -- what they have found

/** Fetches what is known; `again` lists the folder anew. */
async function look(again = false) {
  clearTimeout(due)
  if (!network || !wish.data || !seen_) return
  frame.place()
  mark()
  progress()
  if (fetching) {
    if (same(fetching.about, about()) && !again) return void (more = true)
    fetching.abort()
  }
  const mine = (fetching = Object.assign(new AbortController(), { about: about() }))
  const other = !same(facts?.about, mine.about)
  if (other) byId("patches-centre").classList.add("waiting")
  try {
    const answer = await fetch(`patches/facts?${new URLSearchParams({ ...mine.about, again: again || other ? "1" : "0" })}`, { signal: mine.signal })
    if (!answer.ok) throw new Error(answer.statusText)
    if (answer.headers.get("Content-Type") === "application/json") throw Object.assign(new Error(), await answer.json())
    const told = unpack(await answer.arrayBuffer())
    if (mine.signal.aborted) return
    notices.remove("patches")
    show({ ...told, about: mine.about })
  } catch (error) {
    if (error.name === "AbortError") return
    start_ = false
    refuse(error, mine.about)
  } finally {
    if (fetching === mine) {
      fetching = null
      byId("patches-centre").classList.remove("waiting")
      if (more) due = setTimeout(look, AGAIN / 4)
      else if (running()) due = setTimeout(look, AGAIN)
      more = false
    }
  }
}

/** What cannot be had is told, in place of the wall. */
function refuse(error, wanted) {
  facts = null
  wall.show(null)
  unit.show(null)
  byId("patches-columns").dataset.of = ""
  for (const name of ["patches-facts", "patches-sparsity", "patches-count", "patches-note", "patches-unit"]) write(byId(name), "")
  byId("patches-broken").hidden = byId("patches-dead-bar").hidden = true
  byId("patches-dead").replaceChildren()
  byId("patches-empty").hidden = false
  write(byId("patches-empty-text"), error.message ? `${error.message} ${error.hint ?? ""}` : "The server does not answer.")
  progress()
  complain("patches", error, error.kind ? null : () => void look(true))
  if (!error.kind && same(wanted, about())) frame.place()
}

function show(told) {
  const floats = (name) => new Float32Array(told[name])
  const before = facts
  facts = { ...told, highest: floats("highest"), mean: floats("mean"), sparsity: floats("sparsity"), selectivity: floats("selectivity"), best: new Int32Array(told.best), items: new Int32Array(told.items) }
  if (wish.channel !== null && wish.channel >= facts.channels) wish.channel = null
  if (!same(before?.about, facts.about)) unit.show(null)
  if (start_) {
    start_ = false
    if (!facts.done || facts.done < facts.pictures) begin()
  }
  draw()
  tell()
  progress()
  held()
}

const SIZE = { response: "highest", selectivity: "selectivity", sparsity: "sparsity" }

function draw() {
  if (!facts) return
  const order = [...facts.highest.keys()]
  const by = facts[SIZE[wish.sort]]
  if (by) order.sort((a, b) => dead(a) - dead(b) || by[b] - by[a] || a - b)
  const empty = facts.done <= facts.skipped // not one that could be read
  byId("patches-empty").hidden = !empty
  write(byId("patches-empty-text"), facts.skipped && !running() ? "Not one of these pictures can be read." : empty ? (running() ? "The first patches come in a moment." : `“Find their patches” looks for what excites each of the ${facts.channels} channels of ${facts.layer} most. A folder of your own may be named on the left, or dropped here.`) : "")
  wall.show(empty ? null : { facts, order, sort: wish.sort, held: wish.channel })
}

const dead = (channel) => facts.highest[channel] <= 0

function tell() {
  const dying = facts.done > facts.skipped ? [...facts.highest.keys()].filter(dead) : []
  byId("patches-dead-bar").hidden = dying.length === 0
  write(byId("patches-dead-title"), `${dying.length} dead ${dying.length === 1 ? "unit" : "units"}`)
  byId("patches-dead").replaceChildren(...dying.map((channel) => element("button", { type: "button", class: "link number", title: `Channel ${channel} never rises above 0`, onclick: () => hold(channel) }, String(channel))))
  byId("patches-broken").hidden = !facts.skipped
  write(byId("patches-skipped"), `${facts.skipped} ${facts.skipped === 1 ? "picture" : "pictures"} skipped: not to be read`)
  const broken = Object.entries(facts.broken).map(([name, why]) => element("li", {}, element("b", {}, name), ` ${why}`))
  if (facts.skipped > broken.length) broken.push(element("li", {}, "…"))
  byId("patches-names").replaceChildren(...broken)
  const notes = []
  if (facts.map[0] * facts.map[1] === 1) notes.push("This layer has no maps: each of its channels sees the whole picture.")
  else if (facts.field === null) notes.push("Each position of this layer sees the whole picture, so patches are whole pictures.")
  else notes.push(`A position of this layer sees ${facts.field} × ${facts.field} px of ${facts.size}.`)
  if (facts.classes.length) notes.push(`${facts.classes.length} classes, one for each subfolder.`)
  else if (wish.sort === "selectivity") notes.push("Without subfolders there are no classes to be selective for.")
  write(byId("patches-note"), notes.join(" "))
  const mean = facts.sparsity.reduce((sum, one) => sum + one, 0) / facts.channels
  write(byId("patches-facts"), facts.done > facts.skipped ? `${facts.channels} channels of ${facts.layer}, ${dying.length} dead` : "")
  write(byId("patches-sparsity"), facts.done > facts.skipped ? `${(100 * mean).toFixed(0)} % of all activations are off` : "")
}

function hold(channel) {
  wish.channel = channel
  wall.mark(channel)
  frame.place()
  held()
}

function held() {
  const { channel } = wish
  const none = channel === null || !facts || facts.done <= facts.skipped
  byId("patches-ascend").hidden = none
  write(byId("patches-unit"), none ? "" : `Channel ${channel} of ${facts.layer}`)
  if (none) {
    unit.show(null)
    return write(byId("patches-unit-facts"), "Click a channel to see its nine patches, large.")
  }
  const parts = dead(channel) ? ["Dead: no picture raises it above 0"] : [`Highest ${number(facts.highest[channel])}, mean ${number(facts.mean[channel])}, off at ${(100 * facts.sparsity[channel]).toFixed(0)} % of all positions`]
  if (facts.classes.length && !dead(channel)) parts.push(`selectivity ${facts.selectivity[channel].toFixed(2)}, most for ${facts.classes[facts.best[channel]]}`)
  write(byId("patches-unit-facts"), `${parts.join("; ")}.`)
  unit.show({ url: address("top", { channel }), channel, key: JSON.stringify([facts.about, channel, items(channel)]) })
}

const items = (channel) => [...facts.items.subarray(channel * facts.places, (channel + 1) * facts.places)]

/** Where a patch leads: the Image page with its picture, and the channel held. */
function link(name) {
  const { model, layer, data, only } = facts.about
  return { model, layer, unit: String(wish.channel), data, ...(only ? { only } : {}), picture: name }
}

// -- address, keys, tests

export function query() {
  if (!network) return String(new URLSearchParams([...asked].filter(([name]) => name !== "page")))
  const parts = new URLSearchParams({ model: network.model, layer: wish.layer })
  if (wish.data) parts.set("data", wish.data)
  if (wish.only) parts.set("only", wish.only)
  if (wish.channel !== null) parts.set("channel", wish.channel)
  if (wish.sort !== "channel") parts.set("sort", wish.sort)
  return String(parts)
}

export const actions = { previousLayer: () => step(-1), nextLayer: () => step(1), search: () => byId("patches-layer").focus() }

/** What is shown, for tests and the curious. */
export const state = () => ({
  about: facts?.about ?? null, done: facts?.done ?? 0, pictures: facts?.pictures ?? 0, skipped: facts?.skipped ?? 0, order: wall.order(), channel: wish.channel,
  highest: facts ? [...facts.highest] : [], selectivity: facts ? [...facts.selectivity] : [], sparsity: facts ? [...facts.sparsity] : [],
  scan: scan && { state: scan.state, done: scan.done, n: scan.n }, busy: Boolean(fetching), loaded: wall.loaded(), ...unit.state(),
})
