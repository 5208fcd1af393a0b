// The frame around the pages: which one is seen, and the address, which always says what is shown.

import { byId, throttle } from "./text.js"

let pages = {} // name -> module: start(ask), ready(models), take(name, text), seen(on), query(), actions
let here = byId("page").dataset.here
let ask = () => {}
let read = false // all pages have read the address

export const shown = () => here
export const current = () => pages[here]

/** Takes the modules of all pages; `send` tells Python. */
export function start(modules, send) {
  pages = modules
  ask = send
  for (const [name, page] of Object.entries(pages)) page.start((intent) => send({ page: name, ...intent }))
  read = true
  for (const tab of document.querySelectorAll(".tab")) tab.addEventListener("click", press)
  byId("page").querySelector(".tabs").addEventListener("keydown", walk)
  addEventListener("popstate", () => go(new URLSearchParams(location.search).get("page") ?? Object.keys(pages)[0], false))
  mark()
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return // a tab of the browser
  event.preventDefault()
  go(event.currentTarget.dataset.to)
}

function walk(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
  const names = Object.keys(pages)
  const next = by && names[(names.indexOf(here) + by + names.length) % names.length]
  if (!next) return
  event.preventDefault()
  event.stopPropagation()
  go(next)
  byId(`tab-${next}`).focus()
}

/** Shows another page; the browser's way back leads to the one before. */
export function go(name, push = true) {
  if (!pages[name] || name === here) return
  const before = current()
  here = name
  mark()
  before.seen?.(false)
  if (push) history.pushState(null, "", location.href)
  write()
  ask({ do: "page", name })
  current().seen?.(true)
}

function mark() {
  byId("page").dataset.here = here
  for (const leaf of document.querySelectorAll(".leaf")) leaf.hidden = leaf.id !== `page-${here}`
  for (const part of document.querySelectorAll("[data-page]")) part.hidden = part.dataset.page !== here
  for (const tab of document.querySelectorAll(".tab")) {
    tab.setAttribute("aria-selected", String(tab.dataset.to === here))
    tab.tabIndex = tab.dataset.to === here ? 0 : -1
    if (tab.dataset.to === here) tab.scrollIntoView({ block: "nearest", inline: "nearest" }) // where they do not all fit
  }
}

/** Brings the address up to date at once; while pages still read it, it stays as it is. */
export function write() {
  if (!read) return
  const first = here === Object.keys(pages)[0]
  const parts = [first ? "" : `page=${here}`, current().query()].filter(Boolean)
  history.replaceState(null, "", parts.length ? `?${parts.join("&")}` : location.pathname)
}

/** Brings the address up to date soon: browsers allow some 100 changes in half a minute. */
export const place = throttle(500, write)
