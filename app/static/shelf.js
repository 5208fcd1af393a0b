// The Library's list: only the rows that are seen are there, however many runs there are.

import { byId, element, space } from "./text.js"
import { titleOf } from "./arrange.js"

const HEIGHT = 66 // px of a row, as in library.css
const SPARE = 5 // rows above and below what is seen
let rows = []
let drawn = new Map() // run id -> element
let chosen = null
let act = {}

/** `actions`: choose(id), open(id). */
export function start(actions) {
  act = actions
  const list = byId("library-runs")
  list.addEventListener("scroll", draw, { passive: true })
  new ResizeObserver(draw).observe(list)
  list.addEventListener("keydown", walk)
  list.addEventListener("click", (event) => {
    const id = event.target.closest(".run")?.dataset.run
    if (id) act.choose(id)
  })
  list.addEventListener("dblclick", (event) => {
    const id = event.target.closest(".run")?.dataset.run
    if (id) act.open(id)
  })
}

/** Shows these rows [{run, depth}]. */
export function show(next) {
  rows = next
  drawn.forEach((root) => root.remove())
  drawn = new Map()
  byId("library-length").style.height = `${rows.length * HEIGHT}px`
  draw()
}

/** Marks the chosen run; `reveal` scrolls to it. */
export function choose(id, reveal = false) {
  chosen = id
  for (const [run, root] of drawn) root.setAttribute("aria-selected", String(run === chosen))
  const list = byId("library-runs")
  const index = rows.findIndex(({ run }) => run.id === id)
  if (index >= 0) list.setAttribute("aria-activedescendant", `run-${id}`)
  else list.removeAttribute("aria-activedescendant")
  if (!reveal || index < 0) return
  const top = index * HEIGHT
  if (top < list.scrollTop) list.scrollTop = top
  else if (top + HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + HEIGHT - list.clientHeight
}

function draw() {
  const list = byId("library-runs")
  if (!list.clientHeight) return
  const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - SPARE)
  const last = Math.min(rows.length, Math.ceil((list.scrollTop + list.clientHeight) / HEIGHT) + SPARE)
  const wanted = new Map()
  for (let i = first; i < last; i++) {
    const { run, depth } = rows[i]
    const root = drawn.get(run.id) ?? make(run, depth)
    root.style.top = `${i * HEIGHT}px`
    root.setAttribute("aria-posinset", i + 1)
    root.setAttribute("aria-setsize", rows.length)
    wanted.set(run.id, root)
  }
  for (const [id, root] of drawn) if (!wanted.has(id)) root.remove()
  byId("library-length").append(...[...wanted.values()].filter((root) => !root.isConnected))
  drawn = wanted
}

/** The address of a run's small pictures; another one when it has grown. */
export const thumbnail = (run) => `thumbnails/${run.id}?v=${run.latest}-${run.bytes}`

/** "2 h ago", or the day when it is longer ago. */
export function ago(created, now = Date.now()) {
  const seconds = Math.max(0, (now - Date.parse(created)) / 1000)
  if (seconds < 90) return "just now"
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`
  return new Date(created).toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" })
}

function make(run, depth) {
  const facts = [run.model, run.preset, run.size ? `${run.size} px` : "", run.note].filter(Boolean).join(" · ")
  const image = element("img", { alt: "", width: 224, height: 56, loading: "lazy", decoding: "async", src: thumbnail(run) })
  image.addEventListener("error", () => (image.style.visibility = "hidden"))
  return element(
    "div",
    { class: "run", role: "option", id: `run-${run.id}`, "data-run": run.id, "data-testid": "run", "aria-selected": String(run.id === chosen), style: `--depth: ${Math.min(depth, 8)}` },
    depth ? element("span", { class: "branch", "aria-hidden": "true" }) : null,
    image,
    element("span", { class: "what" }, element("strong", {}, titleOf(run)), element("span", { class: "muted" }, facts)),
    element("span", { class: "origin muted" }, [run.parent && `fork at ${run.parent[1]}`, run.sweep && "sweep"].filter(Boolean).join(", "), run.pinned ? element("span", { class: "badge keep" }, "pinned") : null),
    element("span", { class: "state-of", "data-state": run.state }, `${run.state === "done" ? "" : `${run.state} · `}${run.steps} steps`),
    element("span", { class: "size number" }, space(run.bytes)),
    element("time", { class: "when number muted", datetime: run.created, title: new Date(run.created).toLocaleString() }, ago(run.created)),
  )
}

function walk(event) {
  const page = Math.max(1, Math.floor(byId("library-runs").clientHeight / HEIGHT) - 1)
  const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key]
  if (event.key === "Enter" && chosen) return act.open(chosen)
  if (by === undefined || !rows.length) return
  event.preventDefault()
  event.stopPropagation()
  const now = rows.findIndex(({ run }) => run.id === chosen)
  const next = Math.min(rows.length - 1, Math.max(0, now < 0 ? 0 : now + by))
  act.choose(rows[next].run.id, true)
}
