// The wall of the page Patches: a tile for each channel, fetched when it comes into sight.

import { byId, element, number, write } from "./text.js"

let hold = () => {}
let address = () => ""
let shown = null // {facts, order, sort, held}
const tiles = new Map() // channel -> {root, image, value}

export function start(choose, where) {
  hold = choose
  address = where
  byId("patches-wall").addEventListener("keydown", walk)
}

/** Shows tiles in an order of channels, or none. */
export function show(next) {
  const wall = byId("patches-wall")
  const other = !next || !shown || JSON.stringify(next.facts.about) !== JSON.stringify(shown.facts.about)
  if (other) {
    tiles.clear()
    wall.replaceChildren()
    wall.scrollTop = 0
  }
  shown = next
  wall.hidden = !next
  if (!next) return
  const { facts, order } = next
  for (const channel of order) draw(tiles.get(channel) ?? make(channel), channel, facts)
  const roots = order.map((channel) => tiles.get(channel).root)
  if (roots.some((root, index) => root !== wall.children[index])) wall.replaceChildren(...roots)
  mark(next.held, other)
}

function make(channel) {
  const image = element("img", { alt: "", width: 196, height: 196, loading: "lazy", decoding: "async", draggable: false, onload: () => image.classList.add("here") })
  const value = element("span", { class: "number muted" })
  const root = element(
    "button", { type: "button", class: "patch-tile", role: "option", "data-channel": String(channel), "data-testid": "patch-tile", tabIndex: -1, onclick: () => hold(channel) },
    image, element("span", { class: "patch-line" }, element("b", {}, String(channel)), value),
  )
  const made = { root, image, value, key: "" }
  tiles.set(channel, made)
  return made
}

/** A tile is fetched again only when its patches are others than before. */
function draw(tile, channel, facts) {
  const dead = facts.highest[channel] <= 0
  tile.root.classList.toggle("dead", dead)
  const key = [...facts.items.subarray(channel * facts.places, (channel + 1) * facts.places)].join()
  if (!dead && key !== tile.key) {
    tile.key = key
    tile.image.src = address("tile", { channel, v: key })
  }
  const off = `${(100 * facts.sparsity[channel]).toFixed(0)} % off`
  const selective = facts.classes.length ? `${facts.selectivity[channel].toFixed(2)} ${facts.classes[facts.best[channel]] ?? ""}` : "–"
  write(tile.value, dead ? "dead" : { sparsity: off, selectivity: selective }[shown.sort] ?? number(facts.highest[channel]))
  tile.root.title = dead ? `Channel ${channel}: never above 0` : `Channel ${channel}: highest ${number(facts.highest[channel])}, ${off}${facts.classes.length ? `, selectivity ${selective}` : ""}`
}

/** Marks the held channel. */
export function mark(channel, reveal = false) {
  if (shown) shown.held = channel
  for (const [one, tile] of tiles) {
    tile.root.setAttribute("aria-selected", String(one === channel))
    tile.root.tabIndex = one === channel ? 0 : -1
  }
  const first = tiles.get(channel) ?? tiles.get(shown?.order[0])
  if (first) first.root.tabIndex = 0
  if (reveal) tiles.get(channel)?.root.scrollIntoView({ block: "nearest" })
}

function walk(event) {
  if (!shown?.order.length) return
  const columns = getComputedStyle(byId("patches-wall")).gridTemplateColumns.split(" ").length
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -1e6, End: 1e6 }[event.key]
  if (!by) return
  event.preventDefault()
  event.stopPropagation()
  const { order } = shown
  const next = order[Math.max(0, Math.min(order.length - 1, order.indexOf(shown.held) + by))]
  hold(next)
  tiles.get(next).root.focus()
}

export const order = () => [...(shown?.order ?? [])]

/** How many tiles have their picture. */
export const loaded = () => [...tiles.values()].filter((tile) => tile.image.complete && tile.image.naturalWidth > 0).length
