// How chains of codes are drawn: the wall, the chosen one, its curve, the marks of the time line, the strip of the kept.

import { element, number, write } from "./text.js"

const GAP = 6 // px between tiles
const LARGEST = 168 // px of a tile
const STRIP = 40 // pictures that were kept, the newest
const WORK = 2e7 // numbers that the diversity may cost

export const short = (value) => (value === null || value === undefined || !Number.isFinite(value) ? "–" : value >= 0 && value <= 1 ? value.toFixed(2) : number(value))

export const nearest = (steps, step) => steps.reduce((best, one) => (Math.abs(one - step) < Math.abs(best - step) ? one : best), steps[0] ?? -1)

/** "0-4, 7" of numbers in their order. */
export function list(numbers) {
  const parts = []
  for (const one of numbers) {
    const last = parts[parts.length - 1]
    if (last && one === last[last.length - 1] + 1) last[1] = one
    else parts.push([one])
  }
  return parts.map((part) => part.join("-")).join(", ")
}

/** The targets of a run with their channels, in order. */
function groups(run) {
  const found = new Map()
  run.spec.channels.forEach((channel, row) => {
    const target = run.targets[row]
    found.set(target, [...(found.get(target) ?? []), channel])
  })
  return found
}

const kind = (run) => (run.spec.chains === 1 ? "single" : groups(run).size === 1 ? "many" : "")

/** Makes a button with a canvas for each chain, a row for each target. */
export function build(wall, { run, nameOf }, select) {
  const tile = (channel) => element("button", { type: "button", class: "chain", "data-channel": String(channel), "data-testid": `chain-${channel}`, "aria-pressed": "false", onclick: () => select(channel) }, element("canvas", { width: 28, height: 28 }), element("span", { class: "badge warn", hidden: true }), element("span", { class: "value" }))
  const found = groups(run)
  if (kind(run) === "single") return wall.replaceChildren(element("div", { class: "generators-row single" }, ...run.spec.channels.map(tile)))
  wall.replaceChildren(...[...found].map(([target, channels]) => element("div", { class: `generators-row ${kind(run)}`, "data-target": String(target) }, element("span", { class: "target", title: nameOf(target) }, nameOf(target)), ...channels.map(tile))))
}

/** The largest tiles that fit. */
export function lay(wall, { run }) {
  const [width, height] = [wall.clientWidth - 8, wall.clientHeight - 8]
  if (width < 40 || height < 40) return
  const found = groups(run)
  const count = run.spec.channels.length
  wall.style.removeProperty("--label")
  const label = Math.max(32, ...[...wall.querySelectorAll(".target")].map((name) => Math.ceil(name.getBoundingClientRect().width)))
  wall.style.setProperty("--label", `${label}px`) // the same for all rows: chains stand below each other
  let best = { side: 0 }
  if (kind(run)) {
    const top = kind(run) === "many" ? 24 : 0
    for (let columns = 1; columns <= count; columns += 1) {
      const side = Math.min((width + GAP) / columns - GAP, (height - top + GAP) / Math.ceil(count / columns) - GAP, LARGEST)
      if (side > best.side) best = { side, columns, across: 1 }
    }
  } else {
    const chains = Math.max(...[...found.values()].map((channels) => channels.length))
    for (let across = 1; across <= Math.min(4, found.size); across += 1) {
      const side = Math.min(((width + 3 * GAP) / across - 3 * GAP - label - GAP) / chains - GAP, (height + GAP) / Math.ceil(found.size / across) - GAP, LARGEST)
      if (side > best.side) best = { side, columns: chains, across }
    }
  }
  wall.style.setProperty("--side", `${Math.max(24, Math.floor(best.side))}px`)
  wall.style.setProperty("--columns", String(best.columns))
  wall.style.setProperty("--chains", String(best.columns))
  wall.style.gridTemplateColumns = `repeat(${best.across}, max-content)`
  wall.style.columnGap = `${3 * GAP}px`
}

/** Draws all chains of the shown frame; how many are above. */
export function paint(wall, { run, shown, above, selected, worth, nameOf, at }) {
  let reached = 0
  run.spec.channels.forEach((channel, row) => {
    const tile = wall.querySelector(`[data-channel="${channel}"]`)
    const item = shown.get(channel)
    if (!tile || !item) return
    const value = worth(item.score)
    put(tile.querySelector("canvas"), item.bitmap)
    tile.classList.toggle("smooth", item.bitmap.width >= 64)
    const name = nameOf(run.targets[row])
    write(tile.querySelector(".value"), run.spec.chains === 1 ? `${name} · ${short(value)}` : short(value))
    const badge = tile.querySelector(".badge")
    badge.hidden = !item.status || item.status === "ok"
    if (!badge.hidden) write(badge, item.status === "rolled back" ? "NaN: went back" : item.status)
    const below = value !== null && value < above
    reached += below ? 0 : 1
    tile.classList.toggle("below", below)
    tile.setAttribute("aria-pressed", String(channel === selected))
    tile.setAttribute("aria-label", `${name}, chain ${(channel % run.spec.chains) + 1}: ${short(value)} at step ${at}`)
  })
  return { reached }
}

function put(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) Object.assign(canvas, { width: bitmap.width, height: bitmap.height })
  canvas.getContext("2d").drawImage(bitmap, 0, 0)
}

/** The chosen chain, larger. */
export function stage(canvas, item) {
  if (!item) return
  put(canvas, item.bitmap)
  canvas.classList.toggle("smooth", item.bitmap.width >= 64)
}

/** Root mean square of what differs between the chains of a target, of a range of 1, the mean over pairs. */
export function diversity(run, shown, target) {
  const mine = run.spec.channels.filter((_, row) => run.targets[row] === target).map((channel) => shown.get(channel)).filter(Boolean)
  if (mine.length < 2) return null
  const { width, height } = mine[0].bitmap
  if ((mine.length * (mine.length - 1) * width * height * 3) / 2 > WORK) return null
  const pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })
  const pixels = mine.map((item) => {
    pen.drawImage(item.bitmap, 0, 0)
    return pen.getImageData(0, 0, width, height).data
  })
  let [sum, pairs] = [0, 0]
  for (let a = 0; a < pixels.length; a += 1) {
    for (let b = a + 1; b < pixels.length; b += 1) {
      let square = 0
      for (let i = 0; i < pixels[a].length; i += 1) if (i % 4 !== 3) square += (pixels[a][i] - pixels[b][i]) ** 2
      sum += Math.sqrt(square / (width * height * 3)) / 255
      pairs += 1
    }
  }
  return sum / pairs
}

/** Ends of chains that are above: small pictures, the newest first; a press goes there. */
export function strip(box, { run, curves, above, worth, nameOf }, go) {
  const found = []
  for (const [step, ...scores] of [...(curves?.run === run.id ? curves.ends : [])].reverse()) {
    scores.forEach((score, row) => found.length < STRIP && worth(score) >= above && found.push([step, run.spec.channels[row], run.targets[row], worth(score)]))
  }
  const key = JSON.stringify([run.id, run.revision, found])
  if (box.dataset.key === key) return
  box.dataset.key = key
  box.hidden = !found.length
  box.replaceChildren(...found.map(([step, channel, target, value]) => {
    const picture = element("img", { alt: "", loading: "lazy", src: `frames/${run.id}/${step}/${channel}?r=${run.revision}` })
    const button = element("button", { type: "button", title: `${nameOf(target)}: ${short(value)} at step ${step}`, "data-step": String(step), "data-channel": String(channel), onclick: () => go([step, channel]) }, picture, `${nameOf(target)} ${short(value)}`)
    picture.addEventListener("error", () => button.remove()) // thinned out
    return button
  }))
}

/** Fits a canvas to its place; its pen, size and colours, null while it is hidden. */
function paper(canvas) {
  const scale = window.devicePixelRatio || 1
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)]
  if (!width || !height) return null
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height })
  const pen = canvas.getContext("2d")
  pen.clearRect(0, 0, width, height)
  const style = getComputedStyle(canvas)
  return { pen, width, height, scale, colour: (name) => style.getPropertyValue(`--vz-${name}`) }
}

/** Values over steps of the chosen chain and of those beside it, with the cursor, the threshold and turned knobs. */
export function curve(canvas, { run, curves, at, above, selected, worth, certain }) {
  const made = paper(canvas)
  if (!made || curves?.run !== run.id || !curves.steps.length) return
  const { pen, width, height, scale, colour } = made
  const target = run.targets[run.spec.channels.indexOf(selected)]
  const rows = run.spec.channels.map((channel, row) => [channel, row]).filter(([, row]) => run.targets[row] === target)
  const lines = rows.map(([channel, row]) => [channel, curves.scores[row].map(worth)])
  const all = lines.flatMap(([, values]) => values).filter((value) => value !== null && Number.isFinite(value))
  const [low, high] = certain ? [0, 1] : [Math.min(0, ...all), Math.max(1e-9, ...all)]
  const margin = 4 * scale
  const x = (step) => (step / run.steps) * (width - 1)
  const y = (value) => height - margin - ((value - low) / (high - low)) * (height - 2 * margin)
  pen.lineWidth = scale
  pen.strokeStyle = colour("border")
  pen.setLineDash([3 * scale, 3 * scale])
  line(pen, [[0, y(above)], [width, y(above)]])
  pen.setLineDash([])
  for (const mine of [false, true]) {
    for (const [, values] of lines.filter(([channel]) => (channel === selected) === mine)) {
      pen.strokeStyle = colour(mine ? "accent" : "muted")
      pen.globalAlpha = mine ? 1 : 0.55
      pen.lineWidth = (mine ? 1.75 : 1) * scale
      line(pen, values.map((value, index) => [x(curves.steps[index]), y(value ?? low)]))
    }
  }
  pen.globalAlpha = 1
  pen.strokeStyle = colour("fg")
  pen.lineWidth = scale
  line(pen, [[x(at), 0], [x(at), height]])
  pen.fillStyle = colour("warn")
  for (const [step] of run.knobs) pen.fillRect(x(step) - scale, 0, 2 * scale, 5 * scale)
}

function line(pen, points) {
  pen.beginPath()
  for (const [x, y] of points) pen.lineTo(x, y)
  pen.stroke()
}

/** Under the slider: where legs ended, and where a knob was turned. */
export function ticks(canvas, { run, curves }) {
  const made = paper(canvas)
  if (!made) return
  const { pen, width, height, scale, colour } = made
  const x = (step) => Math.round((step / run.steps) * (width - 1))
  pen.fillStyle = colour("muted")
  for (const [step] of curves?.run === run.id ? curves.ends : []) pen.fillRect(x(step), height * 0.3, scale, height * 0.5)
  pen.fillStyle = colour("warn")
  for (const [step] of run.knobs) {
    pen.beginPath()
    pen.moveTo(x(step), 0)
    pen.lineTo(x(step) - 3 * scale, height)
    pen.lineTo(x(step) + 3 * scale, height)
    pen.fill()
  }
}
