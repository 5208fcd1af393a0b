// The held channel of the page Patches: its nine patches with their deconvolutions, and how its activations are spread.

import * as frame from "./frame.js"
import * as image from "./image.js"
import { unpack } from "./colours.js"
import { byId, element, number, write } from "./text.js"

let link = () => ({})
let shown = null // {key, told} that is on the page
let asking = null
const urls = [] // of pictures that are shown

/** `where(name)`: the address of a picture on the page Image. */
export function start(where) {
  link = where
  new ResizeObserver(() => shown && histogram(shown.told)).observe(byId("patches-histogram"))
}

/** Shows a channel {url, channel, key}, or none. */
export async function show(next) {
  if (!next || (shown?.key !== next.key && asking?.key !== next.key)) asking?.abort()
  if (!next) {
    asking = shown = null
    byId("patches-held").hidden = true
    return
  }
  if (shown?.key === next.key || asking?.key === next.key) return
  const mine = (asking = Object.assign(new AbortController(), { key: next.key }))
  byId("patches-held").classList.add("waiting")
  try {
    const answer = await fetch(next.url, { signal: mine.signal })
    if (!answer.ok) throw new Error(answer.statusText)
    if (answer.headers.get("Content-Type") === "application/json") throw Object.assign(new Error(), await answer.json())
    const told = unpack(await answer.arrayBuffer())
    if (mine.signal.aborted) return
    shown = { key: next.key, told }
    draw(told)
  } catch (error) {
    if (error.name === "AbortError") return
    shown = null
    byId("patches-held").hidden = false
    byId("patches-nine").replaceChildren()
    write(byId("patches-why"), error.message ? `${error.message} ${error.hint ?? ""}` : "The server does not answer.")
  } finally {
    if (asking === mine) {
      asking = null
      byId("patches-held").classList.remove("waiting")
    }
  }
}

function draw(told) {
  byId("patches-held").hidden = false
  urls.splice(0).forEach((url) => URL.revokeObjectURL(url))
  const picture = (bytes, alt) => {
    const url = URL.createObjectURL(new Blob([bytes], { type: "image/png" }))
    urls.push(url)
    return element("img", { src: url, alt, draggable: false })
  }
  const rectifiers = told.intercepted === null ? "" : `The rule acted on ${told.intercepted} ${told.intercepted === 1 ? "rectifier" : "rectifiers"}. `
  write(byId("patches-why"), told.why || (told.patches.length ? `${rectifiers}A click opens the picture on the page Image.` : "None of its pictures can be read any more."))
  byId("patches-nine").replaceChildren(
    ...told.patches.map((patch) => {
      const short = patch.name.split("/").pop()
      const query = link(patch.name)
      const open = (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return // a tab of the browser
        event.preventDefault()
        image.visit(query)
        frame.go("image")
      }
      const again = patch.reproduced === null ? "" : `, now ${number(patch.reproduced)}`
      const title = `${patch.name}: ${number(patch.value)}${again} at ${patch.y}, ${patch.x}${patch.label ? `, of the class ${patch.label}` : ""}`
      return element(
        "a", { class: "patch", href: `?${new URLSearchParams({ page: "image", ...query })}`, title, "data-testid": "patch", "data-name": patch.name, onclick: open },
        element("span", { class: "pair" }, picture(patch.pixels, `Patch of ${short}`), patch.projection ? picture(patch.projection, "Its deconvolution") : null),
        element("span", { class: "patch-line" }, element("span", { class: "patch-name" }, patch.label ? `${short} · ${patch.label}` : short), element("b", { class: "number" }, number(patch.value))),
      )
    }),
  )
  histogram(told)
}

/** Counts of activations, as heights that grow with their logarithm. */
function histogram(told) {
  const canvas = byId("patches-histogram")
  const [width, height] = [canvas.clientWidth, canvas.clientHeight]
  if (!width) return
  const ratio = devicePixelRatio || 1
  Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) })
  const context = canvas.getContext("2d")
  context.scale(ratio, ratio)
  const style = getComputedStyle(canvas)
  const most = Math.log1p(Math.max(...told.histogram, 1))
  const step = width / told.histogram.length
  context.fillStyle = style.getPropertyValue("--vz-accent")
  told.histogram.forEach((count, bin) => {
    const tall = count ? Math.max(1.5, (Math.log1p(count) / most) * (height - 2)) : 0
    context.fillRect(bin * step + 0.5, height - tall, Math.max(1, step - 1), tall)
  })
  write(byId("patches-low"), number(told.low))
  write(byId("patches-high"), number(told.high))
}

/** What is shown, for tests. */
export const state = () => ({ asking: Boolean(asking), held: shown && { channel: shown.told.channel, patches: shown.told.patches.map(({ name, value }) => ({ name, value })) } })
