// The unit's page of the Atlas: what a filter looks for, and what there is to judge it by.

import { times } from "./atlassort.js"
import { element, number } from "./text.js"

const NAMES = { patches: "real patches", deconv: "their deconvolution", weights: "incoming weights", similar: "similar filters" }
const INLINE = "data:image/webp;base64," // pictures lie in the document itself, and nowhere else

/** The sections of a filter's page.
 *  @param of its layer; `one` the filter itself; `beside` what lies beside it, null while it is fetched
 *  @param to {picture(unit), thumb(unit), find(layer, channel), open(layer, channel), ascent(layer, channel), live(unit)} */
export function sections(of, one, beside, to) {
  const parts = [element("h2", {}, `${of.layer} · ${one.channel}`)]
  if (one.tile) {
    parts.push(element("img", { class: "picture", src: to.picture(one), alt: `What filter ${one.channel} of ${of.layer} looks for` }))
    parts.push(element("div", { class: "bar buttons" },
      element("button", { type: "button", class: "primary", "data-testid": "atlas-live", onclick: () => to.live(one) }, "Continue live"),
      element("a", { class: "tool", href: to.picture(one), download: `${of.layer}-${one.channel}.png`, title: "The picture, with its recipe inside" }, "Save")))
  }
  const content = (name) => (beside?.[name] && !beside[name].why ? beside[name] : null)
  if (content("steps")) parts.push(steps(content("steps").steps))
  parts.push(facts(of, one, content("patches")))
  if (beside) {
    if (content("patches") || content("deconv")) parts.push(patches(content("patches")?.patches ?? [], content("deconv")?.patches ?? []))
    for (const kernel of content("weights")?.kernels ?? []) parts.push(weights(kernel, to))
    if (content("similar")) parts.push(similar(of, content("similar"), to))
    for (const [name, document] of Object.entries(beside)) if (document.why) parts.push(element("p", { class: "empty" }, `${NAMES[name] ?? name}: ${document.why}`))
    const missing = Object.keys(NAMES).filter((name) => !beside[name])
    if (missing.length) parts.push(element("p", { class: "empty" }, `Not gathered: ${missing.map((name) => NAMES[name]).join(", ")}. Add them with vizcore atlas … --with ${missing.join(",")}`))
  }
  return parts
}

const inline = (text, alt = "") => element("img", { src: String(text).startsWith(INLINE) ? text : "", alt, draggable: false })
const section = (title, note, ...children) => element("section", {}, element("div", { class: "bar" }, element("h3", {}, title), element("span", { class: "muted" }, note)), ...children)
const list = (rows) => element("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]))
const percent = (value) => `${Math.round(100 * value)} %`

function steps(all) {
  const frames = all.map(({ step, score, picture }) => element("figure", { title: `score ${number(score)}` }, inline(picture, `Step ${step}`), element("figcaption", {}, String(step))))
  return section("Checkpoints", "by step", element("div", { class: "atlas-steps" }, ...frames))
}

function facts(of, one, real) {
  const rows = [["score", number(one.end)], ["at the start", number(one.start)], ["status", one.error ?? one.status ?? ""], ["sees", of.receptive_field ? `${of.receptive_field} px` : "the whole picture"]]
  if (real) {
    const ratio = times(one, real.highest)
    rows.push(["highest real", `${number(real.highest)}${ratio === null ? "" : `, the picture has ${number(one.peak)}: ${number(ratio)} times that`}`])
    rows.push(["off", real.dead ? "always: it is dead" : percent(real.off)])
    if (real.class) rows.push(["prefers", `${real.class} (${number(real.selectivity)})`])
  }
  return list(rows)
}

function patches(real, back) {
  const pairs = Array.from({ length: Math.max(real.length, back.length) }, (_, at) => {
    const { label, name, value, picture } = real[at] ?? {}
    return element("figure", { title: name ?? "" },
      element("div", { class: "pair" }, picture ? inline(picture, `Patch ${at + 1}`) : null, back[at] ? inline(back[at].picture, `Its deconvolution`) : null),
      element("figcaption", {}, [value === undefined ? "" : number(value), label].filter(Boolean).join(" ")))
  })
  const note = back.length ? (real.length ? "with their deconvolution" : "deconvolution only") : ""
  return section("Real patches", note, element("div", { class: "atlas-nine" }, ...pairs))
}

function link(layer, channel, note, to, label = `${layer} · ${channel}`) {
  const unit = to.find(layer, channel)
  const text = [element("b", {}, label), element("small", {}, note)]
  if (unit) {
    return element("button", { type: "button", class: "atlas-link", "data-layer": layer, "data-channel": String(channel), title: `Open ${layer} · ${channel}`, onclick: () => to.open(layer, channel) },
      unit.tile ? element("img", { src: to.thumb(unit), alt: "" }) : element("i"), ...text)
  }
  return element("a", { class: "atlas-link away", href: to.ascent(layer, channel), title: "Not in this atlas: render it live" }, ...text)
}

function weights(kernel, to) {
  const rows = kernel.sources.map(({ origins, share, sum, picture }, at) => {
    const links = origins.filter(([layer]) => layer).map(([layer, channel]) => link(layer, channel, origins.length > 1 ? "a summand" : "", to))
    const plain = origins.length === 0 ? "input of unknown origin" : `colour ${origins[0][1]} of the picture`
    return element("div", { class: "atlas-source" }, inline(picture, `Kernel ${at + 1}`), element("span", { class: "number", title: "share of the squared weights" }, percent(share)),
      element("span", { class: "muted", title: `sum of the weights ${number(sum)}` }, sum < 0 ? "−" : "+"), links.length ? element("div", {}, ...links) : element("span", { class: "muted" }, plain))
  })
  const colours = kernel.picture ? [element("img", { class: "atlas-colours", src: kernel.picture.startsWith(INLINE) ? kernel.picture : "", alt: "The kernel in colours" })] : []
  return section("Incoming weights", `the strongest ${rows.length} of ${kernel.inputs} inputs of ${kernel.layer} · ${kernel.channel}`, ...colours, element("div", { class: "atlas-sources" }, ...rows))
}

function similar(of, document, to) {
  const links = document.neighbours.map(([channel, value]) => link(of.layer, channel, `r ${value.toFixed(2)}`, to, String(channel)))
  const none = links.length ? [] : [element("p", { class: "empty" }, "No other filter of the layer goes with it.")]
  return section("Similar filters", `by correlation over ${document.pictures.toLocaleString()} pictures`, element("div", { class: "atlas-similar", "data-testid": "atlas-similar" }, ...links), ...none)
}
