// The page Dreams: begins dreams of the picture that all pages look at, shows them live, and travels in them.

import * as frame from "./frame.js"
import * as notices from "./notices.js"
import * as source from "./source.js"
import { choose, complain, offer, post } from "./look.js"
import { given } from "./starts.js"
import { byId, element, write } from "./text.js"

const SOON = 400 // ms after the last change until a dream begins anew
const AIMED = ["guide", "caricature", "invert"]
const OWN = ["caricature", "invert"] // they aim at the start itself where nothing else is chosen
const LABELS = { layer: "all that the layer sees", channel: "one filter", guide: "a guide picture", caricature: "a caricature", invert: "the same again (inversion)" }

let ask = () => {}
let network = null
let fields = null
let asked = new URLSearchParams()
let seen_ = false
let guide = null // {name, blob}
const kept = new Map() // blob -> its name at the server
let run = null // what Python says of the shown dream
let steps = [] // that are kept
let live = true
let at = -1 // step that is wished
let painted = null // {run, step} that is seen
let loading = false
let soon = null
let sending = null
let begun = 0 // dreams that were asked for
let automatic = false // the picture that comes next was not chosen by anybody
let open = false // an opened run is shown, which only a change of the form replaces
let opened = 0 // number of the last opening
let bringing = Promise.resolve() // the pictures of an opened dream
let drawn = false // there has been a dream on the stage

export function start(send) {
  ask = send
  const query = new URLSearchParams(location.search)
  if (query.get("page") === "dreams") asked = query
  open = Boolean(asked.get("run"))
  source.listen(() => {
    const mine = automatic
    automatic = false
    showPicture()
    if (mine && open) return // nobody chose it: no reason to leave the dream that was opened
    if (seen_ && byId("dreams-start").value === "picture") again()
  })
  byId("dreams-model").addEventListener("change", () => ask({ do: "network", model: byId("dreams-model").value }))
  for (const id of ["layer", "channel", "start", "steps"]) byId(`dreams-${id}`).addEventListener("change", () => (showForm(), again()))
  byId("dreams-objective").addEventListener("change", () => {
    showForm()
    if (byId("dreams-objective").value === "guide" && !guide) byId("dreams-guide-file").click()
    else again()
  })
  byId("dreams-open").addEventListener("click", () => byId("image-file").click())
  byId("dreams-camera").addEventListener("click", () => void still())
  byId("dreams-guide-open").addEventListener("click", () => byId("dreams-guide-file").click())
  byId("dreams-guide-file").addEventListener("change", (event) => {
    const file = event.target.files[0]
    event.target.value = ""
    if (!file) return
    guide = { name: file.name, blob: file }
    showForm()
    again()
  })
  byId("dreams-run").addEventListener("click", actions.pause)
  byId("dreams-anew").addEventListener("click", () => begin())
  byId("dreams-more").addEventListener("click", () => run && ask({ do: "knob", name: "steps", value: run.steps + Number(byId("dreams-steps").value) }))
  byId("dreams-slider").addEventListener("input", () => travel(Number(byId("dreams-slider").value)))
  byId("dreams-live").addEventListener("click", actions.last)
  byId("dreams-png").addEventListener("click", actions.png)
  byId("dreams-film").addEventListener("click", () => run && ask({ do: "export", run: run.id, form: byId("dreams-form").value, channel: run.spec.channels[0], first: 0, last: run.latest, fps: 15 }))
}

export const ready = () => {}

export function take(name, text) {
  if (!text) return name === "busy" && write(byId("dreams-busy"), "")
  const told = JSON.parse(text)
  if (name === "busy") write(byId("dreams-busy"), `${told} …`)
  if (name === "models") offer(byId("dreams-model"), told, network?.model)
  if (name === "fields") makeForm(told)
  if (name === "network") enter(told)
  if (name === "run") follow(told)
}

export function seen(on) {
  seen_ = on
  if (!on) return sending?.abort()
  automatic = !source.current()
  if (automatic) void source.example(document.querySelector("[data-example]").dataset.example).then(() => source.current() || ((automatic = false), wait()))
  showPicture()
  if (network && !run && !open) again()
}

export const drops = "Drop a picture"

/** A picture that was dropped. */
export function bring(file) {
  if (/\.(zip|vizrun)$/i.test(file.name)) return false
  byId("dreams-start").value = "picture"
  source.file(file)
  return true
}

// -- the form

function makeForm(told) {
  fields = told
  byId("dreams-steps").value = told.steps
  byId("dreams-objective").replaceChildren(...told.objectives.map((name) => element("option", { value: name }, LABELS[name] ?? name)))
  byId("dreams-knobs").replaceChildren(...told.knobs.map((field) => {
    const input = element("input", { type: "number", id: `dreams-${field.name}`, "data-testid": `dreams-${field.name}`, min: String(field.min), max: String(field.max), step: field.log ? "any" : String(field.step), value: String(field.default) })
    input.addEventListener("change", () => {
      const value = Math.min(Math.max(Number(input.value) || 0, field.min), field.max)
      input.value = String(value)
      if (field.hot && run && !["done", "failed"].includes(run.state)) ask({ do: "knob", name: field.name, value })
      else again()
    })
    return element("label", { title: field.help }, element("span", {}, field.unit ? `${field.label} (${field.unit})` : field.label), input)
  }))
  showForm()
}

function showForm() {
  const objective = byId("dreams-objective").value
  byId("dreams-channel-row").hidden = objective !== "channel"
  byId("dreams-guide-row").hidden = !AIMED.includes(objective)
  write(byId("dreams-guide-name"), guide?.name ?? (OWN.includes(objective) ? "the start" : "none yet"))
  wait()
}

/** What an empty stage waits for. */
function wait() {
  byId("dreams-empty").hidden = drawn
  byId("dreams-stage").classList.toggle("waiting", !drawn)
  if (drawn) return
  const lacks = byId("dreams-start").value === "picture" && !source.current()?.blob && !automatic
  const aimless = byId("dreams-objective").value === "guide" && !guide
  write(byId("dreams-empty"), lacks ? "Open a picture, take one with the camera, or start from noise."
    : aimless ? "A guided dream needs a picture to aim at: choose one."
    : network && open ? "Dream anew begins a dream as the form says."
    : network ? "The dream begins …" : "The network is being loaded; then the dream begins by itself.")
}

function showPicture() {
  const now = source.current()
  const picture = byId("dreams-picture")
  if (!now?.blob || picture.dataset.of === now.name + now.kind) return
  URL.revokeObjectURL(picture.src)
  picture.src = URL.createObjectURL(now.blob)
  picture.alt = now.name
  picture.dataset.of = now.name + now.kind
  wait()
  void foretell(now.blob)
}

/** Where no dream has been yet, its start is seen. */
async function foretell(blob) {
  if (drawn) return
  const picture = await createImageBitmap(blob).catch(() => null) // what is no picture is said when a dream begins
  if (picture && !drawn) put(picture)
  picture?.close()
}

function put(picture) {
  const canvas = byId("dreams-stage")
  Object.assign(canvas, { width: picture.width, height: picture.height })
  canvas.getContext("2d").drawImage(picture, 0, 0)
}

function enter(told) {
  const other = network && network.model !== told.model
  network = told
  choose(byId("dreams-model"), told.model)
  const layers = told.layers.filter((layer) => layer.height > 1 && layer.width > 1)
  const paths = layers.map((layer) => layer.path)
  const wanted = [byId("dreams-layer").value, asked.get("layer"), told.layer, paths[0]].find((path) => paths.includes(path))
  byId("dreams-layer").replaceChildren(...layers.map((layer) => element("option", { value: layer.path }, `${layer.path} (${layer.channels})`)))
  byId("dreams-layer").value = wanted
  wait()
  if (open && run?.spec.model === told.model) return fill()
  if (seen_ && (other || (!run && !open))) again()
}

/** The form was changed: dream anew, soon. */
function again() {
  clearTimeout(soon)
  open = false
  soon = setTimeout(() => void begin(), SOON)
}

async function begin() {
  clearTimeout(soon)
  await bringing
  sending?.abort()
  if (!network || !fields) return
  const objective = byId("dreams-objective").value
  const start = byId("dreams-start").value === "picture" ? source.current() : null
  if (byId("dreams-start").value === "picture" && !start?.blob) return wait()
  const aim = AIMED.includes(objective) ? guide ?? (OWN.includes(objective) ? start : null) : null
  if (objective === "guide" && !aim) return notices.show({ id: "dreams", kind: "info", message: "A guided dream needs a guide picture.", hint: "Choose one." })
  const mine = (sending = new AbortController())
  try {
    const [from, towards] = [await keep(start, mine.signal), await keep(aim, mine.signal)]
    if (mine.signal.aborted) return
    const values = Object.fromEntries(fields.knobs.map((field) => [field.name, Number(byId(`dreams-${field.name}`).value)]))
    begun += 1
    live = true
    notices.remove("dreams")
    ask({ do: "begin", source: from, picture: towards, layer: byId("dreams-layer").value, channel: Math.max(0, Math.round(Number(byId("dreams-channel").value)) || 0), objective, steps: Math.max(1, Math.round(Number(byId("dreams-steps").value)) || 1), values })
  } catch (error) {
    if (error.name !== "AbortError") complain("dreams", error, () => void begin())
  }
}

/** The name of a picture at the server, which is given it once. */
async function keep(picture, signal) {
  if (!picture) return ""
  const known = kept.get(picture.blob)
  if (known) return known
  const told = await post("keep", { model: network.model }, picture.blob, signal)
  kept.set(picture.blob, told.name)
  return told.name
}

/** One picture of the camera. */
async function still() {
  if (!navigator.mediaDevices?.getUserMedia) return notices.show({ id: "dreams", kind: "error", message: "The browser gives this page no camera.", hint: "It does so over https and on this machine only (http://localhost)." })
  let stream = null
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } }, audio: false })
    const video = element("video", { muted: true })
    video.srcObject = stream
    await video.play()
    const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight })
    canvas.getContext("2d").drawImage(video, 0, 0)
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"))
    byId("dreams-start").value = "picture"
    source.file(new File([blob], "camera.png", { type: "image/png" }))
  } catch (error) {
    notices.show({ id: "dreams", kind: "error", message: "The camera gave no picture.", hint: error.name === "NotAllowedError" ? "Allow it beside the address of this page." : "Plug one in, or open a picture." })
  } finally {
    for (const track of stream?.getTracks() ?? []) track.stop()
  }
}

// -- the dream

function follow(told) {
  const other = run?.id !== told.id
  run = told.id ? told : null
  if (!run) return
  steps = run.kept.flatMap(([first, last, stride]) => Array.from({ length: Math.floor((last - first) / stride) + 1 }, (_, index) => first + index * stride))
  if (other) {
    painted = null
    const wanted = Number(asked.get("step") ?? NaN)
    live = !(open && asked.get("run") === run.id && Number.isInteger(wanted))
    at = live ? -1 : wanted
  }
  if (run.opened !== opened) {
    opened = run.opened
    open = true
    clearTimeout(soon)
    fill()
    bringing = bringThem().catch(() => {}) // without a connection: the pictures that are there stay
  }
  const slider = byId("dreams-slider")
  slider.max = String(Math.max(0, steps.length - 1))
  if (live && steps.length) at = steps[steps.length - 1]
  show()
}

/** The form says what an opened dream is. */
function fill() {
  const { spec } = run
  for (const field of fields?.knobs ?? []) byId(`dreams-${field.name}`).value = String(spec[field.name])
  byId("dreams-steps").value = String(Math.max(1, Math.round((spec.steps - spec.zoom_frames * spec.zoom_steps) / spec.octaves)))
  byId("dreams-objective").value = spec.objective
  byId("dreams-channel").value = String(spec.channels[0])
  byId("dreams-start").value = spec.source ? "picture" : "noise"
  const layer = byId("dreams-layer")
  if (network?.model === spec.model && [...layer.options].some((option) => option.value === spec.layer)) layer.value = spec.layer
  showForm()
}

/** An opened dream's start, and what it aims at, become the form's. */
async function bringThem() {
  const { id, spec } = run
  guide = null
  const [start, aim] = await Promise.all([given(run, "source", kept), spec.picture === spec.source ? null : given(run, "picture", kept)])
  if (run?.id !== id) return
  guide = aim && { name: aim.name, blob: aim }
  showForm()
  if (!start) return
  automatic = true
  source.file(start)
}

function travel(index) {
  live = index >= steps.length - 1
  at = steps[index] ?? at
  show()
}

function show() {
  const nearest = steps.reduce((best, step) => (Math.abs(step - at) < Math.abs(best - at) ? step : best), steps[0] ?? -1)
  at = nearest
  byId("dreams-slider").value = String(steps.indexOf(nearest))
  byId("dreams-slider").setAttribute("aria-valuetext", `step ${nearest} of ${run.steps}`)
  const going = ["running", "loading", "resting"].includes(run.state)
  write(byId("dreams-run").querySelector("span"), going ? "Pause" : "Go on")
  byId("dreams-run").disabled = run.state === "done"
  byId("dreams-live").setAttribute("aria-pressed", String(live))
  write(byId("dreams-step"), `step ${Math.max(0, nearest)} of ${run.steps}`)
  const rate = run.state === "running" && run.rate ? `, ${run.rate} steps per second` : ""
  write(byId("dreams-facts"), `${run.state}: octave ${run.octave} of ${run.spec.octaves}${rate}`)
  write(byId("dreams-note"), run.error ? `${run.error.message} ${run.error.hint}` : "")
  frame.place()
  paint()
}

/** Brings the wished picture; while one is on its way, only the newest wish is remembered. */
async function paint() {
  if (loading || !run || at < 0 || (painted && painted.run === run.id && painted.step === at)) return
  const wanted = { run: run.id, step: at }
  loading = true
  try {
    const answer = await fetch(`frames/${wanted.run}/${wanted.step}/${run.spec.channels[0]}?r=${run.revision}`)
    if (!answer.ok) return
    const picture = await createImageBitmap(await answer.blob())
    put(picture)
    drawn = true
    wait()
    write(byId("dreams-size"), `${picture.width} × ${picture.height} px`)
    picture.close()
    painted = wanted
  } catch {
    return // the next news brings it
  } finally {
    loading = false
  }
  if (run && (at !== painted.step || run.id !== painted.run)) void paint()
}

// -- address, keys, tests

export function query() {
  if (!run) return String(new URLSearchParams([...asked].filter(([name]) => name !== "page")))
  const parts = new URLSearchParams({ run: run.id })
  if (network) parts.set("model", run.spec.model)
  parts.set("layer", run.spec.layer)
  if (!live) parts.set("step", String(at))
  return String(parts)
}

export const actions = {
  pause: () => run && ask({ do: ["running", "loading", "resting"].includes(run.state) ? "pause" : "resume" }),
  back: () => travel(Math.max(0, steps.indexOf(at) - 1)),
  forward: () => travel(Math.min(steps.length - 1, steps.indexOf(at) + 1)),
  first: () => travel(0),
  last: () => run && travel(steps.length - 1),
  anew: () => void begin(),
  search: () => byId("dreams-layer").focus(),
  png() {
    if (!run || at < 0) return
    const link = element("a", { href: `export/${run.id}/${at}/${run.spec.channels[0]}.png`, download: "" })
    document.body.append(link)
    link.click()
    link.remove()
  },
}

/** What is shown, for tests and the curious. */
export const state = () => ({
  model: network?.model ?? null, run: run?.id ?? null, spec: run?.spec ?? null, state: run?.state ?? null, latest: run?.latest ?? -1,
  steps: run?.steps ?? 0, kept: steps.length, at, live, painted, begun, source: source.current()?.name ?? null, busy: loading,
})
