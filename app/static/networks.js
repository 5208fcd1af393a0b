// The page Networks: a table with a row for each network and a column for each depth, filled field by field.
// A field that is there stays as long as its network, method and picture do. A report on its filters may stand under a row.

import * as design from "./design.js"
import * as frame from "./frame.js"
import * as notices from "./notices.js"
import * as source from "./source.js"
import { maps as decode, paint, sheet } from "./colours.js"
import { choose, complain, offer, plain, post } from "./look.js"
import { byId, element, number, write } from "./text.js"

const MOST = 4
const DEPTHS = { first: "first convolution", middle: "middle convolution", last: "last convolution", class: "class" }
const FINE = 56 // px of a map in a field
const GAP = 2
const PANES = ["heat", "focus", "relevance"]
const ACTIVATIONS = { name: "activations", label: "Activations", help: "The sixteen maps of the layer that respond most, the strongest first, each on a scale of its own.", paper: "" }
const HELP = "Each field is of the unit that answers most to the picture, in that network at that depth."

let groups = {}
let shownFirst = ""
let methods = []
let asked = new URLSearchParams()
let seen_ = false
const wish = { models: [], method: "guided", pane: "heat" }
let fields = new Map() // "model depth" -> {key, told, why}
let asking = null

export function start(send) {
  const query = new URLSearchParams(location.search)
  if (query.get("page") === "networks") asked = query
  if (PANES.includes(asked.get("pane"))) wish.pane = asked.get("pane")
  if (/^[a-z-]{1,20}$/.test(asked.get("method") ?? "")) wish.method = asked.get("method")
  wish.models = [...new Set((asked.get("models") ?? "").split(",").filter(Boolean))].slice(0, MOST)
  design.start(send, changed)
  if (wish.models.includes(asked.get("report"))) design.open(asked.get("report"))
  byId("networks-pane").value = wish.pane
  byId("networks-pane").addEventListener("change", () => ((wish.pane = byId("networks-pane").value), frame.place(), draw()))
  byId("networks-method").addEventListener("change", () => ((wish.method = byId("networks-method").value), changed()))
  byId("networks-add").addEventListener("click", () => {
    const other = Object.values(groups).flat().find((name) => !wish.models.includes(name))
    if (other && wish.models.length < MOST) (wish.models.push(other), changed())
  })
  byId("networks-open").addEventListener("click", () => byId("image-file").click())
  const examples = [...document.querySelectorAll("[data-example]")].map((button) => button.dataset.example)
  byId("networks-example").replaceChildren(element("option", { value: "" }, "–"), ...examples.map((name) => element("option", { value: name }, name)))
  byId("networks-example").addEventListener("change", () => byId("networks-example").value && void source.example(byId("networks-example").value))
  source.listen(() => {
    showPicture()
    void fill()
  })
}

export const ready = () => {}

export function take(name, text) {
  if (!text) return name === "busy" && write(byId("networks-busy"), "")
  const told = JSON.parse(text)
  if (name === "busy") write(byId("networks-busy"), `${told} …`)
  if (name === "models") groups = told
  if (name === "network") shownFirst ||= told.model // the one that an empty address shows
  if (name === "network" && !methods.length) {
    methods = [ACTIVATIONS, ...told.methods]
    if (!methods.some((method) => method.name === wish.method)) wish.method = ACTIVATIONS.name
    byId("networks-method").replaceChildren(...methods.map((method) => element("option", { value: method.name }, method.label)))
    byId("networks-method").value = wish.method
  }
  if (groups && methods.length && !wish.models.length) {
    const here = Object.entries(groups).filter(([heading]) => !heading.startsWith("Fetched")).flatMap(([, names]) => names)
    wish.models = [...new Set([shownFirst, ...here])].filter(Boolean).slice(0, 2)
  }
  if (methods.length && wish.models.length) changed()
}

export function seen(on) {
  seen_ = on
  void design.look(on)
  if (!on) return asking?.abort()
  showPicture()
  void fill()
}

/** A network, with the report on its filters, in the first row. */
export function inspect(model) {
  wish.models = [model, ...wish.models.filter((name) => name !== model)].slice(0, MOST)
  design.open(model)
}

export const drops = "Drop a picture"

/** A picture that was dropped. */
export function bring(file) {
  if (/\.(zip|vizrun)$/i.test(file.name)) return false
  source.file(file)
  return true
}

// -- the table

function changed() {
  if (!methods.length) return // nothing is known yet
  fields = new Map([...fields].filter(([, field]) => wish.models.includes(field.key.model)))
  const method = methods.find((one) => one.name === wish.method) ?? ACTIVATIONS
  byId("networks-panes").hidden = wish.method === "activations"
  byId("networks-add").disabled = wish.models.length >= MOST
  write(byId("networks-help"), `${method.help}${method.paper ? ` (${method.paper})` : ""} ${HELP}`)
  if (design.model() && !wish.models.includes(design.model())) return design.open("") // which comes back here
  if (seen_) frame.place()
  layOut()
  void fill()
  void design.look(seen_)
}

const key = (model, depth) => `${model} ${depth}`

function layOut() {
  const table = byId("networks-table")
  const heads = ["", ...Object.values(DEPTHS)].map((label) => element("div", { class: "depth", role: "columnheader" }, label))
  const rows = wish.models.map((model, index) => {
    const select = element("select", { "aria-label": `Network ${index + 1}`, "data-testid": `networks-model-${index}`, title: plain(model) })
    offer(select, groups)
    choose(select, model)
    select.addEventListener("change", () => {
      if (wish.models.includes(select.value)) return void (select.value = model) // it is there already
      wish.models[index] = select.value
      changed()
    })
    const away = element("button", { type: "button", class: "tool bare", "aria-label": `Remove ${plain(model)}`, title: "Remove this network", onclick: () => (wish.models.splice(index, 1), changed()) }, "✕")
    const open = design.model() === model
    const report = element("button", { type: "button", class: "tool", "aria-expanded": String(open), "data-testid": `networks-inspect-${index}`, title: "What can be seen to be wrong with its filters: dead, doubled, aliased …", onclick: () => design.open(open ? "" : model) }, "Inspect")
    const head = element("div", { class: "head", role: "rowheader" }, element("div", { class: "bar" }, select, wish.models.length > 1 ? away : null), element("ol", { class: "best", "data-best": model }), report)
    const cells = Object.keys(DEPTHS).map((depth) => element("figure", { class: "cell", role: "cell", "data-at": key(model, depth), "data-testid": `networks-${depth}` }, element("canvas", { width: 64, height: 64, role: "img" }), element("figcaption")))
    const below = open ? element("div", { role: "cell", class: "beneath", "data-report": model }) : null
    return element("div", { role: "row" }, head, ...cells, below)
  })
  table.replaceChildren(element("div", { role: "row" }, ...heads), ...rows)
  draw()
  design.show()
}

const cell = (model, depth) => byId("networks-table").querySelector(`[data-at="${CSS.escape(key(model, depth))}"]`)

/** What a field must be of, to be shown. */
const wanted = (model, depth) => ({ model, depth, method: wish.method, picture: source.current()?.blob ?? null })

const fresh = (field, now) => field && field.key.method === now.method && field.key.picture === now.picture

/** Asks for the fields that are missing, row by row. */
async function fill() {
  if (!seen_ || !methods.length || !wish.models.length) return
  if (!source.current()) return void source.example(document.querySelector("[data-example]").dataset.example)
  const picture = source.current()
  if (!picture.blob) return
  asking?.abort()
  const mine = (asking = new AbortController())
  const refused = new Map() // networks that cannot be had, and why
  for (const node of byId("networks-table").querySelectorAll(".cell")) node.classList.remove("waiting")
  try {
    for (const depth of Object.keys(DEPTHS)) {
      for (const model of wish.models) {
        const now = wanted(model, depth)
        if (fresh(fields.get(key(model, depth)), now)) continue
        cell(model, depth).classList.add("waiting")
        const field = { key: now, told: null, why: refused.get(model) ?? "" }
        if (!field.why) {
          try {
            field.told = await post("column", { model, depth, method: wish.method }, picture.blob, mine.signal)
            field.why = field.told.reason
            source.accepted(picture)
          } catch (error) {
            if (mine.signal.aborted || !error.kind || error.kind === "PictureError") throw error
            field.why = `${error.message} ${error.hint ?? ""}`
            if (error.kind === "ModelError") refused.set(model, field.why)
          }
        }
        if (mine.signal.aborted) return
        fields.set(key(model, depth), field)
        cell(model, depth).classList.remove("waiting")
        await show(model, depth)
      }
    }
    notices.remove("networks")
  } catch (error) {
    if (error.name === "AbortError" || mine.signal.aborted) return
    if (error.kind === "PictureError") source.refused(picture)
    complain("networks", error, error.kind ? null : () => void fill())
  } finally {
    if (asking === mine) {
      asking = null
      for (const node of byId("networks-table").querySelectorAll(".waiting")) node.classList.remove("waiting")
      const times = wish.models.flatMap((model) => Object.keys(DEPTHS).map((depth) => fields.get(key(model, depth))?.told?.seconds ?? 0))
      const whole = times.reduce((sum, seconds) => sum + seconds, 0)
      write(byId("networks-facts"), whole ? `${whole.toFixed(1)} s in the networks` : "")
    }
  }
}

function draw() {
  for (const model of wish.models) for (const depth of Object.keys(DEPTHS)) void show(model, depth)
}

async function show(model, depth) {
  const node = cell(model, depth)
  const field = fields.get(key(model, depth))
  if (!node || !field) return
  const { told, why } = field
  const [canvas, caption] = node.children
  node.classList.toggle("off", Boolean(why))
  node.classList.toggle("mosaic", Boolean(told?.values))
  canvas.hidden = Boolean(told?.values) && depth === "class" // single numbers: the list of classes says more
  if (told?.values) mosaic(canvas, decode(told))
  else if (told?.panes) await picture(canvas, told.panes[wish.pane], wish.pane)
  const parts = []
  if (told) parts.push(element("b", {}, told.unit || (told.channel === null ? "" : `${told.layer} · ${told.channel}`)), told.score === undefined ? "" : ` ${number(told.score)}`)
  if (why) parts.push(element("span", { class: "why" }, why))
  else if (told?.note) parts.push(element("span", { class: "why" }, told.note))
  caption.replaceChildren(...parts)
  canvas.setAttribute("aria-label", caption.textContent)
  if (depth === "class" && told) showClasses(model, told.classes)
}

function showClasses(model, classes) {
  const row = ([name, share]) => element("li", {}, element("span", { title: name }, name), element("span", { class: "number" }, `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`))
  byId("networks-table").querySelector(`[data-best="${CSS.escape(model)}"]`).replaceChildren(...classes.map(row))
}

async function picture(canvas, bytes, pane) {
  const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }))
  if (pane !== wish.pane) return // another one was chosen meanwhile
  canvas.dataset.pane = pane
  Object.assign(canvas, { width: image.width, height: image.height })
  canvas.getContext("2d").drawImage(image, 0, 0)
  image.close()
}

/** Maps side by side, as square as can be. */
function mosaic(canvas, all) {
  const painted = sheet(paint(all, "normalised", false))
  const across = Math.ceil(Math.sqrt(all.count))
  const scale = Math.max(1, Math.round(FINE / all.width)) // so that the gap is as wide for all
  const [width, height] = [scale * all.width, scale * all.height]
  Object.assign(canvas, { width: across * (width + GAP) - GAP, height: across * (height + GAP) - GAP })
  const context = canvas.getContext("2d")
  context.imageSmoothingEnabled = false
  for (let i = 0; i < all.count; i++) context.drawImage(painted, 0, i * all.height, all.width, all.height, (i % across) * (width + GAP), Math.floor(i / across) * (height + GAP), width, height)
}

function showPicture() {
  const now = source.current()
  byId("networks-example").value = now?.kind === "example" ? now.name : ""
  if (!now?.blob) return
  const image = byId("networks-picture")
  URL.revokeObjectURL(image.src)
  image.src = URL.createObjectURL(now.blob)
  image.alt = now.name
}

// -- address, keys, tests

export function query() {
  if (!methods.length || !wish.models.length) return String(new URLSearchParams([...asked].filter(([name]) => name !== "page")))
  const parts = new URLSearchParams({ models: wish.models.join(","), method: wish.method })
  if (wish.pane !== "heat") parts.set("pane", wish.pane)
  if (design.model()) parts.set("report", design.model())
  return String(parts)
}

export const actions = { search: () => byId("networks-method").focus() }

/** What is shown, for tests and the curious. */
export const state = () => ({
  design: design.state(), models: wish.models, method: wish.method, pane: wish.pane, busy: Boolean(asking), source: source.current()?.name ?? null,
  fields: Object.fromEntries([...fields].filter(([, field]) => fresh(field, wanted(field.key.model, field.key.depth))).map(([at, { told, why }]) => [at, { layer: told?.layer, channel: told?.channel, unit: told?.unit, score: told?.score, why }])),
})
