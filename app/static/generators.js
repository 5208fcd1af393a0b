// The page Generators: begins walks of codes, shows all chains of a step, turns knobs, and travels in the history.

import { Frames } from "./frames.js"
import * as frame from "./frame.js"
import * as notices from "./notices.js"
import * as ruler from "./ruler.js"
import * as view from "./chains.js"
import { choose, complain, offer, post } from "./look.js"
import { given, half, nameOfMask } from "./starts.js"
import { on } from "./state.js"
import { byId, element, setIcon, write } from "./text.js"

const SOON = 400 // ms after the last change until codes walk anew
const ALIVE = ["running", "loading", "resting"]
const STATES = [...ALIVE, "paused", "interrupted"]
const id = (name) => byId(`generators-${name}`)

let ask = () => {}
let network = null
let fields = null
let shelf = [] // generators at hand
let run = null // what Python says of the shown run
let curves = null
let steps = [] // that have pictures
let frames = null
let live = true
let at = -1 // step that is wished
let painted = null // {run, step} that is seen
let selected = null // channel
let above = 0.9
let picture = null // {name, blob} to start from
let mask = null
let bringing = Promise.resolve() // picture and mask of an opened run
const kept = new Map() // blob -> its name at the server
let loading = false
let soon = null
let sending = null
let begun = 0 // runs that were asked for
let asked = "" // what was asked for last, hot knobs aside
let open = false // an opened run is shown, which only a change of the form replaces
let opened = -1 // number of the last opening
let seen_ = false
let shown = null // frame that is drawn

export function start(send) {
  ask = send
  const query = new URLSearchParams(location.search)
  open = query.get("page") === "generators" && (query.has("run") || query.has("filters"))
  id("model").addEventListener("change", () => ask({ do: "network", model: id("model").value }))
  for (const name of ["generator", "targets", "chains"]) id(name).addEventListener("change", () => (describe(), again()))
  id("layer").addEventListener("change", () => (towards(), again()))
  id("variant").addEventListener("change", () => (preset(), again()))
  id("start").addEventListener("change", begins)
  id("open").addEventListener("click", () => id("file").click())
  id("mask-open").addEventListener("click", () => id("mask-file").click())
  id("file").addEventListener("change", (event) => brought(event, (file) => (picture = file)))
  id("mask-file").addEventListener("change", (event) => brought(event, (file) => (mask = file)))
  id("anew").addEventListener("click", () => void begin())
  id("reseed").addEventListener("click", actions.seed)
  id("run").addEventListener("click", actions.pause)
  id("once").addEventListener("click", actions.once)
  id("live").addEventListener("click", actions.last)
  id("slider").addEventListener("input", () => travel(Number(id("slider").value)))
  id("slider").addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key]
    if (by === undefined) return
    event.preventDefault() // a native step may land where no picture was kept
    event.stopPropagation()
    move(event.shiftKey ? 10 * Math.sign(by) : by)
  })
  id("above").addEventListener("input", () => {
    above = Number(id("above").value) || 0
    dress()
  })
  id("fork").addEventListener("click", actions.fork)
  for (const button of document.querySelectorAll("#page-generators [data-save]")) button.addEventListener("click", () => save(button.dataset.save))
  ruler.start(send, () => ({ generator: id("generator").value, layer: id("layer").value, targets: id("targets").value, fit: fields ? id("fit").value : "exact" }), ruled)
  ruled()
  on("theme", () => run && draw())
  new ResizeObserver(() => run && lay()).observe(id("wall"))
  new ResizeObserver(() => run && draw()).observe(id("curve"))
}

export const ready = () => {}

export function take(name, text) {
  if (!text) {
    if (name === "busy") write(id("busy"), "")
    if (name === "curves") curves = null
    return
  }
  const told = JSON.parse(text)
  if (name === "busy") write(id("busy"), `${told} …`)
  if (name === "models") offer(id("model"), told, network?.model)
  if (name === "offers") ruler.offer(told)
  if (name === "ruler") ruler.take(told)
  if (name === "fields") makeForm(told)
  if (name === "generators") (shelf = told), offerGenerators()
  if (name === "network") enter(told)
  if (name === "run") follow(told)
  if (name === "curves") (curves = told), dress()
}

export function seen(on) {
  seen_ = on
  if (!on) return sending?.abort()
  if (network && !run && !open) again()
}

/** A picture that was dropped. */
export function bring(file) {
  if (/\.(zip|vizrun)$/i.test(file.name)) return false
  picture = { name: file.name, blob: file }
  if (id("start").value === "codes") id("start").value = "picture"
  begins()
  return true
}

// -- the form

function makeForm(told) {
  fields = told
  id("variant").replaceChildren(...Object.keys(told.variants).map((name) => element("option", { value: name, title: told.help[name] }, name)))
  id("variant").value = "noiseless joint PPGN-h"
  id("knobs").replaceChildren(...told.knobs.map((field) => control(field, () => turn(field))))
  id("cold").replaceChildren(...told.cold.map((field) => control(field, again)))
  put(named("seed"), 0)
  preset()
}

/** A control of a parameter; `changed` is told when its value is another. */
function control(field, changed) {
  const name = { id: `generators-${field.name}`, "data-testid": `generators-${field.name}` }
  let input = null
  if (field.kind === "choice") input = element("select", name, ...field.choices.map((one) => element("option", { value: one }, one)))
  else if (field.kind === "bool") input = element("input", { type: "checkbox", ...name })
  else input = element("input", { type: "number", ...name, min: String(field.min), max: String(field.max), step: field.kind === "int" ? String(field.step || 1) : "any" })
  input.addEventListener("change", () => {
    if (input.type === "number") input.value = String(Math.min(Math.max(Number(input.value) || 0, field.min), field.max))
    marked(field)
    changed()
  })
  return element("label", { title: field.help }, element("span", {}, field.unit ? `${field.label} (${field.unit})` : field.label), input)
}

const every = () => (fields ? [...fields.knobs, ...fields.cold] : [])
const value = (field) => (field.kind === "bool" ? id(field.name).checked : field.kind === "choice" ? id(field.name).value : Number(id(field.name).value))

function put(field, value) {
  const input = id(field.name)
  if (input === document.activeElement && input.type !== "checkbox") return // who writes is not written over
  if (field.kind === "bool") input.checked = Boolean(value)
  else input.value = String(value)
  marked(field)
}

/** What differs from the method is seen. */
function marked(field) {
  const usual = fields.variants[id("variant").value]?.[field.name]
  id(field.name).closest("label").classList.toggle("changed", usual !== undefined && usual !== value(field))
  if (field.name === "box") for (const name of ["box_low", "box_high"]) id(name).closest("label").hidden = value(field) !== "range"
  if (field.name === "eps4") id("eps4").closest("label").hidden = !masked() && value(field) === 0
  if (field.name === "spread") id("spread").closest("label").hidden = id("start").value === "codes"
}

function preset() {
  const usual = fields.variants[id("variant").value]
  for (const field of every()) if (field.name !== "seed") put(field, usual[field.name])
  if (masked() && value(named("eps4")) === 0) put(named("eps4"), 1)
  write(id("help"), fields.help[id("variant").value])
}

const named = (name) => every().find((field) => field.name === name)

function turn(field) {
  if (run && (STATES.includes(run.state) || field.name === "steps")) ask({ do: "knob", name: field.name, value: value(field) })
  else again()
}

function enter(told) {
  const other = network && network.model !== told.model
  network = told
  choose(id("model"), told.model)
  const before = id("layer").value
  const layers = told.layers.map((layer) => element("option", { value: layer.path }, `${layer.path} (${layer.channels})`))
  const classes = told.classes.length ? [element("option", { value: "" }, `its classes (${told.classes.length})`)] : []
  id("layer").replaceChildren(...classes, ...layers)
  if ([...id("layer").options].some((option) => option.value === before)) id("layer").value = before
  if (other || !begun) towards()
  offerGenerators(other)
  if (open && run?.spec.model === told.model) return fill()
  if (seen_ && (other || (!run && !open))) again()
}

/** Other targets: the first of them. */
function towards() {
  const layer = network?.layers.find((one) => one.path === id("layer").value)
  write(id("what"), layer ? "Units" : "Classes")
  const count = layer ? layer.channels : network?.classes.length ?? 10
  id("targets").value = count > 1 ? `0-${Math.min(count, layer ? 5 : 10) - 1}` : "0"
  id("above").value = String((above = layer ? 0 : 0.9))
  describe()
}

const fits = (one) => network && one.size === network.size && (one.channels === 1) === network.grey

function offerGenerators(anew = false) {
  if (!network) return
  const before = anew ? "" : id("generator").value
  const [mine, others] = [shelf.filter(fits), shelf.filter((one) => !fits(one))]
  mine.sort((a, b) => Number(b.network === network.model) - Number(a.network === network.model))
  const group = (label, list) => (list.length ? [element("optgroup", { label }, ...list.map((one) => element("option", { value: one.name }, one.name)))] : [])
  id("generator").replaceChildren(...(mine.length ? [] : [element("option", { value: "" }, "none fits")]), ...group(`for ${network.title}`, mine), ...group("for other pictures", others))
  id("generator").value = [before || undefined, run?.spec.model === network.model ? run.spec.generator || undefined : undefined, mine[0]?.name, ""].find((name) => name !== undefined && [...id("generator").options].some((option) => option.value === name)) ?? ""
  describe()
}

function describe() {
  const one = shelf.find((entry) => entry.name === id("generator").value)
  const kind = one && `${one.code.join(" × ")} numbers of ${one.network} ${one.layer} · ${one.size} px, ${one.channels === 1 ? "grey" : "colour"} · ${one.source}`
  write(id("about"), one ? `${kind}${one.encoder ? "" : " · no encoder: the prior term is off"}` : "Train one for this network with vizcore train-generator, and lay its folder into generators beside the runs.")
  const names = id("layer").value ? [] : numbers(id("targets").value).map((number) => network?.classes[number]).filter((name, index) => name && name !== String(numbers(id("targets").value)[index]))
  write(id("names"), names.slice(0, 12).join(", "))
  wait()
}

/** What an empty wall waits for. */
function wait() {
  const note = byId("generators-empty") // gone as soon as there are chains
  if (note && network) write(note, id("generator").value ? (open ? "Start anew lets codes walk as the form says." : "The chains begin …") : `No generator paints pictures for ${network.title}. Choose another network, or train a generator for this one with vizcore train-generator.`)
}

function numbers(text) {
  const found = []
  for (const part of text.split(",")) {
    const match = /^\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*$/.exec(part)
    if (match) for (let number = Number(match[1]); number <= Math.min(Number(match[2] ?? match[1]), Number(match[1]) + 64); number += 1) found.push(number)
  }
  return found
}

const masked = () => ["top", "left", "middle", "mask"].includes(id("start").value)

/** The form shows what its start needs. */
function showStart() {
  const from = id("start").value
  id("picture-row").hidden = from === "codes"
  id("mask-open").hidden = from !== "mask"
  write(id("picture-name"), [picture?.name, from === "mask" && mask?.name].filter(Boolean).join(" · "))
  for (const field of every()) if (["eps4", "spread"].includes(field.name)) marked(field)
}

function begins() {
  const from = id("start").value
  showStart()
  if (fields && masked() && value(named("eps4")) === 0) put(named("eps4"), 1)
  if (from !== "codes" && !picture) return id("file").click()
  if (from === "mask" && !mask) return id("mask-file").click()
  again()
}

function brought(event, put) {
  const file = event.target.files[0]
  event.target.value = ""
  if (!file) return
  put({ name: file.name, blob: file })
  begins()
}

/** The ruler was opened or closed. */
function ruled() {
  write(id("title"), ruler.isOpen() ? "Ruler" : run?.spec.generator || "Chains")
  frame.place()
  if (ruler.isOpen()) return
  if (run) lay(), show()
  if (seen_ && network && !open) again()
}

/** The form was changed: codes walk anew, soon; while the ruler is open they wait. */
function again() {
  clearTimeout(soon)
  if (ruler.isOpen()) return
  open = false
  soon = setTimeout(() => void begin(false), SOON)
}

/** Begins a run of what the form says; unless `anew`, not of what walks already, whose hot knobs were turned at once. */
async function begin(anew = true) {
  clearTimeout(soon)
  await bringing
  sending?.abort()
  if (!network || !fields) return
  const from = id("start").value
  const lacks = from !== "codes" && !picture ? "picture" : from === "mask" && !mask ? "mask" : ""
  if (lacks) return notices.show({ id: "generators", kind: "info", message: `The ${lacks} to start from is not here.`, hint: "Open it, or start from drawn codes." })
  const mine = (sending = new AbortController())
  try {
    const one = from === "codes" ? "" : await keep(picture.blob, mine.signal)
    const part = !masked() ? "" : await keep(from === "mask" ? mask.blob : await half(from, shelf.find((one) => one.name === id("generator").value)?.size ?? network.size), mine.signal)
    if (mine.signal.aborted) return
    const [values, cold] = [every(), fields.cold].map((list) => Object.fromEntries(list.map((field) => [field.name, value(field)])))
    const wish = { generator: id("generator").value, layer: id("layer").value, targets: id("targets").value, chains: Math.max(1, Math.round(Number(id("chains").value)) || 1), variant: id("variant").value, source: one, mask: part }
    const key = JSON.stringify([network.model, wish, cold])
    if (!anew && key === asked && run && STATES.includes(run.state)) return
    asked = key
    begun += 1
    live = true
    open = false
    notices.remove("generators")
    ask({ do: "begin", ...wish, values })
  } catch (error) {
    if (error.name !== "AbortError") complain("generators", error, () => void begin())
  }
}

/** The name of a picture at the server, which is given it once. */
async function keep(blob, signal) {
  if (!kept.has(blob)) kept.set(blob, (await post("keep", { model: network.model }, blob, signal)).name)
  return kept.get(blob)
}

/** An opened run's picture and mask become the form's. */
async function bringThem() {
  const { id: mine, spec } = run
  id("start").value = spec.mask ? "mask" : spec.source ? "picture" : "codes"
  if (spec.source) picture = mask = null
  showStart()
  const [one, part] = await Promise.all([given(run, "source", kept), given(run, "mask", kept)])
  const kind = part && (await nameOfMask(part))
  if (run?.id !== mine || !spec.source) return
  picture = one && { name: one.name, blob: one }
  mask = kind === "mask" ? { name: part.name, blob: part } : null
  if (kind) id("start").value = kind
  showStart()
}

// -- the run

function follow(told) {
  const other = run?.id !== told.id
  const before = run
  run = told.id ? told : null
  if (!run) return
  steps = run.kept.flatMap(([first, last, stride]) => Array.from({ length: Math.floor((last - first) / stride) + 1 }, (_, index) => first + index * stride))
  if (other) {
    frames?.clear()
    frames = new Frames(run.id)
    painted = shown = null
    curves = curves?.run === run.id ? curves : null
    live = true
    at = -1
    if (!before || JSON.stringify(before.spec.channels) !== JSON.stringify(run.spec.channels) || before.spec.chains !== run.spec.chains) {
      if (!run.spec.channels.includes(selected)) selected = run.spec.channels[0]
      build()
    }
  }
  if (frames.revise(run.revision)) painted = shown = null
  if (told.open && told.open.n !== opened) {
    opened = told.open.n
    open = true
    asked = ""
    live = told.open.step === null
    if (!live) at = told.open.step
    if (run.spec.channels.includes(told.open.filter)) selected = told.open.filter
    fill()
  } else if (!begun && other) fill()
  if (fields) for (const field of fields.knobs) if (other || before.now[field.name] !== run.now[field.name]) put(field, run.now[field.name]) // else it is a wish
  if (live && steps.length) at = steps[steps.length - 1]
  show()
}

/** The form says what an opened run is. */
function fill() {
  const { spec } = run
  if (!fields) return
  if (fields.variants[spec.preset]) id("variant").value = spec.preset
  write(id("help"), fields.help[id("variant").value] ?? "")
  for (const field of fields.cold) put(field, spec[field.name])
  for (const field of fields.knobs) put(field, run.now[field.name])
  bringing = bringThem().catch(() => {}) // without a connection: what is there stays
  id("chains").value = String(spec.chains)
  if (network?.model === spec.model) {
    if ([...id("layer").options].some((option) => option.value === spec.layer)) id("layer").value = spec.layer
    write(id("what"), spec.layer ? "Units" : "Classes")
    offerGenerators()
  }
  id("above").value = String((above = spec.layer ? 0 : 0.9))
  id("targets").value = view.list([...new Set(run.targets)])
  describe()
}

/** What a chain's score is for people: of classes the probability. */
const worth = (score) => (score === null || score === undefined ? null : run.spec.objective === "class" && !run.spec.layer ? Math.exp(Math.min(0, score)) : score)
const nameOf = (target) => (run.spec.objective === "class" && network?.model === run.spec.model && network.classes[target]) || String(target)
const context = () => ({ run, curves, at, above, selected, worth, nameOf, shown, certain: run.spec.objective === "class" && !run.spec.layer })

function build() {
  view.build(id("wall"), context(), (channel) => select(channel))
  lay()
}

const lay = () => view.lay(id("wall"), context())

function select(channel) {
  selected = channel
  show()
  dress()
}

function travel(step) {
  if (!steps.length) return
  const end = steps[steps.length - 1]
  live = step >= end
  at = live ? end : view.nearest(steps, step)
  show()
}

function move(by) {
  const here = steps.indexOf(view.nearest(steps, at))
  travel(steps[Math.min(steps.length - 1, Math.max(0, here + by))])
}

function show() {
  if (!run) return
  if (steps.length) at = view.nearest(steps, at)
  const slider = id("slider")
  slider.max = String(run.steps)
  slider.value = String(Math.max(0, at))
  slider.style.setProperty("--fill", `${(100 * Math.max(0, at)) / run.steps}%`)
  slider.style.setProperty("--done", `${(100 * (run.latest ?? 0)) / run.steps}%`)
  slider.setAttribute("aria-valuetext", `step ${at} of ${run.steps}`)
  const going = ALIVE.includes(run.state)
  const done = run.state === "done"
  setIcon(id("run"), going ? "pause" : done ? "further" : "play")
  write(id("run").querySelector("span"), going ? "Pause" : done ? "Go further" : "Run")
  id("once").disabled = !["paused", "interrupted"].includes(run.state)
  id("live").setAttribute("aria-pressed", String(live))
  write(id("step"), `${Math.max(0, at)}/${run.steps}`)
  id("state").dataset.state = run.state
  const rate = run.state === "running" && run.rate ? `, ${run.rate} steps per second` : ""
  write(id("facts"), `${run.state}${rate} · ${run.spec.preset} · ${run.spec.channels.length} chains`)
  write(id("run-note"), run.root ? `left its parent at step ${run.root}` : "")
  write(id("note"), run.error ? `${run.error.message} ${run.error.hint}` : run.note)
  addresses()
  log()
  frame.place()
  void paint()
}

function addresses() {
  const step = painted?.step
  for (const [name, address] of [["png", `export/${run.id}/${step}/${selected}.png`], ["sheet", `export/${run.id}/${step}.png`]]) {
    if (step === undefined) id(name).removeAttribute("href")
    else id(name).href = address
  }
}

function log() {
  const key = JSON.stringify(run.knobs)
  if (id("log").dataset.key === key) return
  id("log").dataset.key = key
  id("log").replaceChildren(...run.knobs.slice(-30).reverse().map(([step, , , text]) => element("li", {}, `step ${step}: ${text}`)))
}

/** Brings all chains to the wished step; while it is on its way, only the newest wish is remembered. */
async function paint() {
  if (loading || !run || !steps.includes(at) || (painted?.run === run.id && painted.step === at)) return
  const wanted = { run: run.id, step: at }
  loading = true
  try {
    const found = await frames.get(wanted.step)
    if (found && run?.id === wanted.run) {
      const bitmaps = await frames.bitmaps(found, run.spec.channels)
      if (run?.id === wanted.run) {
        shown = bitmaps
        painted = wanted
        dress()
        addresses()
      }
    }
  } catch {
    return // the next news brings it
  } finally {
    loading = false
  }
  if (run && (at !== painted?.step || run.id !== painted?.run) && steps.includes(at)) setTimeout(() => void paint(), painted?.step === wanted.step ? 0 : 200)
}

/** Puts the drawn frame, the chosen chain and what was reached on the page. */
function dress() {
  if (!run || !shown) return
  const told = view.paint(id("wall"), context())
  write(id("reached"), `${told.reached} of ${run.spec.channels.length}`)
  const target = run.targets[run.spec.channels.indexOf(selected)]
  const chain = run.spec.chains > 1 ? `, chain ${(selected % run.spec.chains) + 1}` : ""
  write(id("name"), `${run.spec.layer ? `${run.spec.layer} ` : ""}${nameOf(target)}${chain}`)
  const item = shown.get(selected)
  write(id("value"), item ? `${run.spec.layer ? "activation" : "p"} ${view.short(worth(item.score))} at step ${painted.step}` : "")
  view.stage(id("stage"), item)
  const spread = view.diversity(run, shown, target)
  write(id("diversity"), spread === null ? "" : `diversity ${spread.toFixed(3)}`)
  write(id("title"), ruler.isOpen() ? "Ruler" : run.spec.generator || "Chains")
  view.strip(id("kept"), context(), ([step, channel]) => {
    selected = channel
    live = false
    at = step
    show()
    dress()
  })
  draw()
}

function draw() {
  view.curve(id("curve"), context())
  view.ticks(id("ticks"), context())
}

function save(form) {
  if (!run) return
  const film = form === "film"
  ask({ do: "export", run: run.id, form: film ? id("form").value : form, ...(film && { first: 0, last: run.latest, fps: 15 }) })
}

// -- address, keys, tests

export function query() {
  if (!run) return open ? new URLSearchParams([...new URLSearchParams(location.search)].filter(([name]) => name !== "page")).toString() : ruler.query()
  return [run.address, ruler.query(), selected === null ? "" : `filter=${selected}`, live ? "" : `step=${at}`].filter(Boolean).join("&")
}

function neighbour(by) {
  if (!run) return
  const all = run.spec.channels
  select(all[(all.indexOf(selected) + by + all.length) % all.length])
}

export const actions = {
  pause: () => run && ask(run.state === "done" ? { do: "further" } : { do: ALIVE.includes(run.state) ? "pause" : "resume" }),
  once: () => run && ["paused", "interrupted"].includes(run.state) && ask({ do: "once" }),
  back: () => move(-1),
  forward: () => move(1),
  first: () => travel(0),
  last: () => steps.length && travel(steps[steps.length - 1]),
  previous: () => neighbour(-1),
  next: () => neighbour(1),
  anew: () => void begin(),
  seed: () => {
    if (!fields) return
    put(named("seed"), Math.floor(Math.random() * 10_000))
    void begin()
  },
  fork: () => run && painted && ask({ do: "fork", step: painted.step }),
  png: () => id("png").hasAttribute("href") && id("png").click(),
}

/** What is shown, for tests and the curious. */
export const state = () => ({
  model: network?.model ?? null, generator: id("generator").value, run: run?.id ?? null, spec: run?.spec ?? null, state: run?.state ?? null,
  latest: run?.latest ?? -1, steps: run?.steps ?? 0, kept: steps.length, at, live, painted, selected, begun, knobs: run?.knobs ?? [], now: run?.now ?? null,
  ends: curves?.ends?.length ?? 0, root: run?.root ?? 0, busy: loading, note: id("note").textContent,
  ruler: ruler.state(),
})
