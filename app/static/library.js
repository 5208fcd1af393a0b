// The page Library: fetches the list when Python says that there is a newer one, and keeps what is looked for.

import { SORTS, arrange, titleOf } from "./arrange.js"
import * as detail from "./detail.js"
import * as frame from "./frame.js"
import * as notices from "./notices.js"
import * as shelf from "./shelf.js"
import { byId, element, space, throttle, write } from "./text.js"

let ask = () => {}
let runs = []
let have = 0 // version of the list
let told = null // what Python says of the newest
let fetching = false
let chosen = null
const look = { search: "", sort: "created", tree: false }

export function start(send) {
  ask = send
  const asked = new URLSearchParams(location.search)
  if (asked.get("page") === "library") {
    Object.assign(look, { search: (asked.get("search") ?? "").slice(0, 200), tree: asked.get("tree") === "1" })
    if (SORTS.includes(asked.get("sort"))) look.sort = asked.get("sort")
    chosen = asked.get("chosen")
  }
  const search = byId("library-search")
  Object.assign(search, { value: look.search })
  byId("library-sort").value = look.sort
  byId("library-tree").checked = look.tree
  search.addEventListener("input", throttle(60, () => change({ search: search.value })))
  search.addEventListener("keydown", (event) => event.key === "ArrowDown" && byId("library-runs").focus())
  byId("library-sort").addEventListener("change", () => change({ sort: byId("library-sort").value }))
  byId("library-tree").addEventListener("change", () => change({ tree: byId("library-tree").checked }))
  shelf.start({ choose, open })
  detail.start({
    choose, open,
    annotate: (run, changes) => ask({ do: "annotate", run, ...changes }),
    remove: (run, forks) => ask({ do: "delete", run, forks }),
    save: (run) => ask({ do: "export", form: "archive", run }),
    compare: (run) => (frame.go("ascent"), ask({ page: "ascent", do: "compare", run })),
  })
  byId("library-clean").addEventListener("click", () => byId("clean-dialog").showModal())
  byId("clean-dialog").addEventListener("close", () => byId("clean-dialog").returnValue === "clean" && ask({ do: "clean" }))
}

export const ready = () => {}

export function take(name, text) {
  if (name !== "shelf" || !text) return
  told = JSON.parse(text)
  void refresh()
}

/** The page is seen, or not. */
export function seen(on) {
  if (on) void refresh()
  if (on) show()
}

async function refresh() {
  if (!told || fetching || frame.shown() !== "library" || told.version === have) return
  fetching = true
  const version = told.version
  try {
    const answer = await fetch(`library?v=${version}`)
    if (!answer.ok) throw new Error(answer.statusText)
    const list = await answer.json()
    have = version
    runs = list.runs
    notices.remove("library")
    show()
  } catch {
    notices.show({ id: "library", kind: "error", message: "The list of runs could not be read.", hint: "The last one that could stays.", action: { label: "Try again" } }, refresh)
  } finally {
    fetching = false
  }
  if (told.version !== have) setTimeout(refresh, 300)
}

function change(what) {
  Object.assign(look, what)
  byId("library-runs").scrollTop = 0
  show()
  frame.place()
}

function show() {
  const rows = arrange(runs, look)
  shelf.show(rows)
  choose(chosen)
  write(byId("library-count"), rows.length === runs.length ? `${runs.length} ${runs.length === 1 ? "run" : "runs"}` : `${rows.length} of ${runs.length} runs`)
  const empty = byId("library-empty")
  empty.hidden = rows.length > 0 || !have
  write(empty, runs.length ? "No run has all of these words." : "No run was kept yet. Each one that begins on the page Ascent or Dreams, or that you open, is listed here by itself.")
  if (told) quota()
}

function quota() {
  const share = Math.min(100, (100 * told.bytes) / told.limit)
  byId("library-quota").style.setProperty("--share", `${share}%`)
  byId("library-quota").classList.toggle("over", told.over.length > 0)
  const damaged = Object.keys(told.damaged).length
  write(byId("library-quota"), `${space(told.bytes)} of ${space(told.limit)}`)
  byId("library-quota").title = "What all runs take of the disk, and their bound (VIZCORE_LIBRARY_MIB). Nothing is deleted unasked."
  write(byId("library-damaged"), damaged ? `${damaged} ${damaged === 1 ? "file" : "files"} cannot be read` : "")
  byId("library-damaged").title = Object.entries(told.damaged).map(([id, why]) => `${id}: ${why}`).join("\n")
  const names = [told.trash && `${told.trash} in the trash`, told.over.length && `${told.over.length} over the bound`].filter(Boolean)
  byId("library-clean").hidden = names.length === 0
  write(byId("library-clean").querySelector("span"), `Free ${told.freed < 2 ** 20 ? "< 1 MiB" : space(told.freed)}: ${names.join(", ")}`)
  const over = told.over.map((id) => runs.find((run) => run.id === id)).filter(Boolean)
  const rows = over.map((run) => element("li", {}, `${titleOf(run)}, ${run.model}, ${new Date(run.created).toLocaleDateString()}, ${space(run.bytes)}`))
  byId("clean-list").replaceChildren(...[told.trash ? element("li", {}, `${told.trash} deleted ${told.trash === 1 ? "run" : "runs"} in the trash`) : null, ...rows].filter(Boolean))
}

function choose(id, reveal = false) {
  chosen = id
  shelf.choose(id, reveal)
  detail.show(runs.find((run) => run.id === id) ?? null, runs)
  frame.place()
}

export function open(id) {
  frame.go("ascent")
  ask({ page: "ascent", do: "open", run: id })
}

export function query() {
  const parts = new URLSearchParams()
  if (look.search) parts.set("search", look.search)
  if (look.sort !== "created") parts.set("sort", look.sort)
  if (look.tree) parts.set("tree", "1")
  if (chosen) parts.set("chosen", chosen)
  return String(parts)
}

export const actions = {
  open: () => chosen && open(chosen),
  remove: () => chosen && detail.remove(chosen),
  search: () => byId("library-search").focus(),
}

/** What is shown, for tests and the curious. */
export const state = () => ({ runs: runs.length, rows: arrange(runs, look).map(({ run, depth }) => [run.id, depth]), chosen })
