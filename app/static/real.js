// What real pictures say of the shown filter: the nine patches that excite it most, and how the shown picture compares.

import * as patches from "./patches.js"
import { byId, number, write } from "./text.js"
import { cursor, on, state } from "./state.js"

const CELL = 64 // px of a patch on a tile, and the gap between two: as the engine makes them
const GAP = 2

let about = null // {model, layer, data, only, done, pictures}: what was looked through
let said = null // of the picture that rested last
let shown = "" // address of the tile that is drawn
let drawn = false

export function start() {
  const lead = (more) => state.run && patches.visit({ model: state.run.model, layer: state.run.layer, channel: state.selected, ...more })
  byId("real-find").addEventListener("click", () => lead({ begin: true }))
  byId("real-strip").addEventListener("click", () => lead({ data: about.data, only: about.only }))
  for (const name of ["select", "run"]) on(name, strip)
  for (const name of ["drawn", "cursor", "status"]) on(name, compare)
}

/** Takes what was looked through by the shown layer. */
export function known(next) {
  about = next
  strip()
}

/** Takes the comparison of a picture. */
export function compared(next) {
  said = next
  compare()
}

function strip() {
  const here = about && state.run && about.model === state.run.model && about.layer === state.run.layer
  byId("real").hidden = !here
  if (!here || state.selected === null) return
  const found = about.done > 0
  byId("real-strip").hidden = !found
  byId("real-find").hidden = found
  compare()
  if (!found) return (shown = "")
  const { model, layer, data, only, done, pictures } = about
  byId("real-strip").title = `From ${done < pictures ? `${done} of ` : ""}${pictures} pictures of ${data}: see them with their deconvolutions`
  const url = `patches/tile?${new URLSearchParams({ model, layer, data, only, channel: state.selected, v: `real${done}` })}`
  if (url === shown) return
  shown = url
  drawn = false
  const picture = new Image()
  picture.onload = () => shown === url && draw(picture)
  picture.onerror = () => {
    if (shown !== url) return
    byId("real-strip").hidden = true // its pictures are gone or were changed
    byId("real-find").hidden = false
  }
  picture.src = url
}

/** The nine patches of a tile, one beside the other. */
function draw(picture) {
  const canvas = byId("real-canvas")
  Object.assign(canvas, { width: 9 * (CELL + GAP) - GAP, height: CELL })
  const context = canvas.getContext("2d")
  for (let i = 0; i < 9; i++) context.drawImage(picture, (i % 3) * (CELL + GAP), Math.floor(i / 3) * (CELL + GAP), CELL, CELL, i * (CELL + GAP), 0, CELL, CELL)
  drawn = true
}

const percent = (share) => `${(100 * share).toFixed(0)} %`
const mean = (values) => values.reduce((sum, one) => sum + one, 0) / values.length

function compare() {
  const node = byId("real-facts")
  if (!about?.done) return write(node, "")
  const here = state.stage ?? { channel: state.selected, step: cursor() }
  const current = said && said.run === state.run?.id && said.channel === here.channel && said.step === here.step
  node.classList.toggle("stale", !current || said.pending)
  if (!current) return write(node, state.status?.state === "running" ? "compared when it pauses" : "")
  if (said.error) return write(node, "not available")
  if (said.pending && said.relative === null && !said.paths.length) return write(node, "comparing …")
  const parts = []
  const held = Object.entries(said.held_out)
  if (said.relative !== null) parts.push(`${number(said.relative)} × the highest`)
  if (held.length) parts.push(`held out ${percent(mean(held.map(([, share]) => share)))}`)
  if (said.paths.length) parts.push(`path ${mean(said.paths.map((path) => path.synthetic)).toFixed(2)} of ${mean(said.paths.map((path) => path.natural)).toFixed(2)}`)
  write(node, parts.join(" · ") || "no real picture excites it")
  node.title = [
    `Activation: ${said.relative === null ? "no real picture rises above 0" : `${number(said.relative)} times the highest on a real picture, ${number(said.highest)}`}`,
    ...(held.length ? ["", "What stays of it under moves that no run has made:", ...held.map(([name, share]) => `  ${name}: ${percent(share)}`)] : []),
    ...(said.paths.length ? ["", "Path similarity (Geirhos et al. 2024), to the real ones and among them:", ...said.paths.map((path) => `  ${path.layer}: ${path.synthetic.toFixed(2)} of ${path.natural.toFixed(2)}`)] : []),
  ].join("\n")
}

/** What is shown, for tests. */
export const told = () => ({ known: about, drawn, facts: byId("real-facts").textContent, find: !byId("real-find").hidden && !byId("real").hidden })
