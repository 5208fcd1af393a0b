// A static atlas: data comes by scripts, because a page that is opened from a folder may not fetch.
"use strict"
{
  const WIDTH = 104, HEIGHT = 120, AHEAD = 3 // px of a cell, rows kept above and below what is seen
  const FLYING = 150, CALM = 90 // px a frame at which nobody reads, so that pictures wait; ms until they come
  const byId = (id) => document.getElementById(id)
  const waiting = new Map(), asked = new Map() // scripts on their way, by name
  const data = new Map() // by name of its script: layer-2, unit-2-17
  let about = null, place = 0, chosen = null, rows = [], at = 0, calm = 0
  const tiles = new Map() // of the wall: by channel

  window.atlasData = (name, value) => {
    if (name === "atlas") return begin(value)
    data.set(name, value)
    waiting.get(name)?.()
  }

  function element(tag, facts = {}, ...children) {
    const made = Object.assign(document.createElement(tag), facts)
    made.append(...children)
    return made
  }

  /** The data of a script; null if there is none. */
  function load(name, src) {
    if (!asked.has(name)) {
      asked.set(name, new Promise((done) => {
        const end = () => done(data.get(name) ?? null)
        waiting.set(name, end)
        document.head.append(element("script", { src, onerror: end }))
      }))
    }
    return asked.get(name)
  }

  const layer = () => data.get(`layer-${place}`) ?? []

  function begin(value) {
    about = value
    document.title = `${about.model}: atlas`
    byId("title").textContent = about.model
    const count = about.layers.reduce((sum, layer) => sum + layer.done, 0)
    byId("facts").textContent = `${count} filters of ${about.layers.length} layers, ${about.settings.size} px, ${about.preset}`
    byId("layers").replaceChildren(...about.layers.map((layer, number) => {
      const picture = layer.first ? element("img", { src: `thumbs/${layer.first}.webp`, alt: "", loading: "lazy" }) : element("i")
      const button = element("button", { type: "button" }, picture, element("span", { textContent: layer.layer }), element("small", { textContent: `${layer.done} of ${layer.channels} · ${layer.height}×${layer.width}` }))
      button.addEventListener("click", () => { location.hash = encodeURIComponent(layer.layer) })
      return button
    }))
    byId("search").addEventListener("input", arrange)
    byId("sort").addEventListener("change", arrange)
    byId("wall").addEventListener("scroll", paint, { passive: true })
    byId("wall").addEventListener("keydown", step)
    new ResizeObserver(paint).observe(byId("wall"))
    window.addEventListener("hashchange", visit)
    void visit()
  }

  // #LAYER or #LAYER/CHANNEL: each filter has an address.
  async function visit() {
    const [layer, channel] = location.hash.slice(1).split("/")
    const name = decodeURIComponent(layer)
    place = Math.max(0, about.layers.findIndex((one) => one.layer === name))
    chosen = channel === undefined ? null : Number(channel)
    await load(`layer-${place}`, `data/layer-${place}.js`)
    byId("layers").childNodes.forEach((button, number) => button.setAttribute("aria-current", String(number === place)))
    byId("layers").childNodes[place]?.scrollIntoView({ block: "nearest", inline: "nearest" })
    offer()
    arrange()
    reveal()
  }

  const known = (value) => typeof value === "number"
  const short = (value) => value?.toPrecision(4) ?? "none"
  const times = (unit) => (unit.highest > 0 && known(unit.peak) ? unit.peak / unit.highest : null)

  /** By what filters are sorted, highest first; offered where some filter of the layer has a number for it. */
  const ORDERS = {
    channel: ["number"],
    end: ["score", (unit) => unit.end],
    gain: ["gain", (unit) => (known(unit.end) ? unit.end - (unit.start ?? 0) : null)],
    status: ["status"],
    peak: ["highest activation", (unit) => unit.peak],
    highest: ["highest on real pictures", (unit) => unit.highest],
    ratio: ["times the highest real", times],
    mean: ["mean on real pictures", (unit) => unit.mean],
    off: ["share in which it is off", (unit) => unit.off],
    selectivity: ["preference for a class", (unit) => unit.selectivity],
    nearest: ["likeness to its nearest", (unit) => unit.nearest],
    strongest: ["share of its strongest input", (unit) => unit.strongest],
  }

  const value = (unit, by) => { const found = ORDERS[by][1](unit); return known(found) ? found : -Infinity }

  function offer() {
    const chosen = byId("sort").value || "channel"
    const there = Object.entries(ORDERS).filter(([name, [, of]]) => name === chosen || !of || layer().some((unit) => known(of(unit))))
    byId("sort").replaceChildren(...there.map(([value, [textContent]]) => element("option", { value, textContent })))
    byId("sort").value = chosen
  }

  /** Whether a filter answers to the words: a number, a range, or a text of its status. */
  function matches(unit, words) {
    return words.every((word) => {
      const range = /^(\d+)-(\d+)$/.exec(word)
      if (range) return unit.channel >= Number(range[1]) && unit.channel <= Number(range[2])
      if (/^\d+$/.test(word)) return unit.channel === Number(word)
      return (unit.error ? `failed ${unit.error}` : unit.status ?? "").toLowerCase().includes(word)
    })
  }

  function arrange() {
    const words = byId("search").value.toLowerCase().split(/[\s,]+/).filter(Boolean)
    const by = byId("sort").value
    const all = layer()
    rows = all.filter((unit) => matches(unit, words))
    if (by === "status") rows.sort((a, b) => String(a.status).localeCompare(String(b.status)) || a.channel - b.channel)
    else if (ORDERS[by][1]) rows.sort((a, b) => (value(a, by) === value(b, by) ? a.channel - b.channel : value(b, by) - value(a, by)))
    byId("count").textContent = rows.length === all.length ? `${all.length}` : `${rows.length} of ${all.length}`
    for (const tile of tiles.values()) tile.remove()
    tiles.clear()
    paint()
    void show()
  }

  const across = () => Math.max(1, Math.floor(byId("length").clientWidth / WIDTH))

  /** Only what is seen is there. */
  function paint() {
    const wall = byId("wall"), columns = across(), by = byId("sort").value
    byId("length").style.height = `${Math.ceil(rows.length / columns) * HEIGHT}px`
    const flying = Math.abs(wall.scrollTop - at) > FLYING
    at = wall.scrollTop
    clearTimeout(calm)
    if (flying) calm = setTimeout(paint, CALM)
    const first = Math.max(0, Math.floor(at / HEIGHT) - AHEAD) * columns
    const last = Math.min(rows.length, (Math.ceil((at + wall.clientHeight) / HEIGHT) + AHEAD) * columns)
    const wanted = new Set()
    for (let place = first; place < last; place++) {
      const unit = rows[place]
      wanted.add(unit.channel)
      let tile = tiles.get(unit.channel)
      if (!tile) {
        const picture = element("img", { alt: "", decoding: "async", draggable: false })
        tile = element("button", { type: "button", className: "tile", title: unit.error ?? unit.status ?? "", tabIndex: -1 }, picture, ORDERS[by][1] && value(unit, by) > -Infinity ? `${unit.channel} · ${value(unit, by).toPrecision(3)}` : String(unit.channel))
        tile.setAttribute("role", "option")
        tile.dataset.channel = unit.channel
        tile.addEventListener("click", () => go(unit.channel))
        tiles.set(unit.channel, tile)
        byId("length").append(tile)
      }
      if (unit.tile && !flying && !tile.firstChild.hasAttribute("src")) tile.firstChild.src = `thumbs/${unit.tile}.webp`
      tile.style.transform = `translate(${(place % columns) * WIDTH}px, ${Math.floor(place / columns) * HEIGHT}px)`
      tile.setAttribute("aria-selected", String(unit.channel === chosen))
    }
    for (const [channel, tile] of tiles) {
      if (!wanted.has(channel)) {
        tile.remove()
        tile.firstChild.removeAttribute("src") // what was decoded is let go at once
        tiles.delete(channel)
      }
    }
  }

  function go(channel) {
    location.hash = `${encodeURIComponent(about.layers[place].layer)}/${channel}`
  }

  function reveal() {
    const at = rows.findIndex((unit) => unit.channel === chosen)
    if (at < 0) return
    const top = Math.floor(at / across()) * HEIGHT, wall = byId("wall")
    if (top < wall.scrollTop) wall.scrollTop = top
    if (top + HEIGHT > wall.scrollTop + wall.clientHeight) wall.scrollTop = top + HEIGHT - wall.clientHeight
  }

  function step(event) {
    const move = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across(), ArrowUp: -across() }[event.key]
    if (!move || !rows.length) return
    event.preventDefault()
    const at = rows.findIndex((unit) => unit.channel === chosen)
    go(rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + move))].channel)
  }

  /** The page of the chosen filter. */
  async function show() {
    const unit = layer().find((one) => one.channel === chosen)
    const pane = byId("unit")
    pane.hidden = !unit
    if (!unit) return paint()
    const name = `unit-${place}-${chosen}`
    compose(pane, unit, data.get(name) ?? {})
    paint()
    const beside = await load(name, `units/${place}-${chosen}.js`)
    if (beside && name === `unit-${place}-${chosen}`) compose(pane, unit, beside)
  }

  function compose(pane, unit, beside) {
    const { layer: path, receptive_field: field } = about.layers[place]
    const of = (part) => (beside[part] && !beside[part].why ? beside[part] : null)
    const facts = [["score", short(unit.end)], ["at the start", short(unit.start)], ["status", unit.error ?? unit.status], ["sees", field ? `${field} px` : "all"]]
    const real = of("patches")
    if (real) {
      const ratio = times({ ...unit, highest: real.highest })
      facts.push(["highest real", `${short(real.highest)}${ratio === null ? "" : `, the picture has ${short(unit.peak)}: ${ratio.toPrecision(3)} times that`}`], ["off", real.dead ? "always: it is dead" : `${Math.round(100 * real.off)} %`])
      if (real.class) facts.push(["prefers", `${real.class} (${real.selectivity.toFixed(2)})`])
    }
    const parts = [element("h2", { textContent: `${path} · ${unit.channel}` })]
    if (unit.tile) {
      const href = `tiles/${unit.tile}.png`
      parts.push(element("img", { className: "picture", src: href, alt: `What filter ${unit.channel} of ${path} looks for` }))
      parts.push(element("a", { href, download: `${path}-${unit.channel}.png`, textContent: "The picture, with its recipe inside" }))
    }
    if (of("steps")) parts.push(section("Checkpoints", "by step", element("div", { className: "steps" }, ...of("steps").steps.map((one) => figure([inline(one.picture)], one.step, `score ${short(one.score)}`)))))
    const list = element("dl")
    for (const [name, value] of facts) list.append(element("dt", { textContent: name }), element("dd", { textContent: String(value) }))
    parts.push(list)
    if (real || of("deconv")) parts.push(patches(real?.patches ?? [], of("deconv")?.patches ?? []))
    for (const kernel of of("weights")?.kernels ?? []) parts.push(weights(kernel))
    const similar = of("similar")
    if (similar) parts.push(section("Similar filters", `by correlation over ${similar.pictures} pictures`, element("div", { className: "similar" }, ...similar.neighbours.map(([channel, value]) => link(path, channel, `r ${value.toFixed(2)}`, String(channel))))))
    for (const [name, one] of Object.entries(beside)) if (one.why) parts.push(element("p", { textContent: `${name}: ${one.why}` }))
    pane.replaceChildren(...parts)
  }

  const INLINE = "data:image/webp;base64," // pictures lie in the data itself, and nowhere else
  const inline = (text) => element("img", { src: String(text).startsWith(INLINE) ? text : "", alt: "" })
  const figure = (pictures, text, title) => element("figure", { title }, element("div", { className: "pair" }, ...pictures), element("figcaption", { textContent: text }))
  const section = (title, note, ...children) => element("section", {}, element("h3", { textContent: title }), element("small", { textContent: note }), ...children)

  function patches(real, back) {
    const pairs = Array.from({ length: Math.max(real.length, back.length) }, (_, at) => {
      const pictures = [real[at]?.picture, back[at]?.picture].filter(Boolean).map(inline)
      return figure(pictures, [real[at]?.value.toPrecision(3), real[at]?.label].filter(Boolean).join(" "), real[at]?.name ?? "")
    })
    return section("Real patches", back.length ? "with their deconvolution" : "", element("div", { className: "nine" }, ...pairs))
  }

  /** Another filter: a link if it is in the atlas. */
  function link(path, channel, note, label = `${path} · ${channel}`) {
    const number = about.layers.findIndex((one) => one.layer === path)
    const text = [element("b", { textContent: label }), element("small", { textContent: note })]
    if (number < 0) return element("span", { className: "link" }, ...text)
    const made = element("a", { className: "link", href: `#${encodeURIComponent(path)}/${channel}` }, element("i"), ...text)
    void load(`layer-${number}`, `data/layer-${number}.js`).then((units) => {
      const tile = units?.find((one) => one.channel === channel)?.tile
      if (tile) made.firstChild.replaceWith(element("img", { src: `thumbs/${tile}.webp`, alt: "" }))
    })
    return made
  }

  function weights(kernel) {
    const rows = kernel.sources.map(({ origins, share, sum, picture }) => {
      const links = origins.filter(([path]) => path).map(([path, channel]) => link(path, channel, origins.length > 1 ? "a summand" : ""))
      const plain = element("span", { textContent: origins.length ? `colour ${origins[0][1]} of the picture` : "input of unknown origin" })
      return element("div", { className: "source" }, inline(picture), element("small", { textContent: `${sum < 0 ? "−" : "+"} ${Math.round(100 * share)} %` }), element("div", {}, ...(links.length ? links : [plain])))
    })
    const colours = kernel.picture ? [Object.assign(inline(kernel.picture), { className: "colours" })] : []
    return section("Incoming weights", `the strongest ${rows.length} of ${kernel.inputs} inputs of ${kernel.layer} · ${kernel.channel}`, ...colours, ...rows)
  }
}
