// A static atlas: data comes by scripts, because a page that is opened from a folder may not fetch.
"use strict"
{
  const WIDTH = 104, HEIGHT = 120, AHEAD = 3 // px of a cell, rows kept above and below what is seen
  const byId = (id) => document.getElementById(id)
  const waiting = new Map()
  const layers = new Map() // by number: its filters
  let about = null, place = 0, chosen = null, rows = []
  const tiles = new Map() // of the wall: by channel

  window.atlasData = (name, value) => {
    if (name === "atlas") begin(value)
    else {
      layers.set(Number(name.slice(6)), value)
      waiting.get(name)?.()
    }
  }

  function element(tag, facts = {}, ...children) {
    const made = Object.assign(document.createElement(tag), facts)
    made.append(...children)
    return made
  }

  function load(number) {
    if (layers.has(number)) return Promise.resolve()
    return new Promise((done, failed) => {
      waiting.set(`layer-${number}`, done)
      document.head.append(element("script", { src: `data/layer-${number}.js`, onerror: failed }))
    })
  }

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
    await load(place)
    byId("layers").childNodes.forEach((button, number) => button.setAttribute("aria-current", String(number === place)))
    arrange()
  }

  const gain = (unit) => (unit.end ?? 0) - (unit.start ?? 0)

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
    const all = layers.get(place) ?? []
    rows = all.filter((unit) => matches(unit, words))
    if (by === "end") rows.sort((a, b) => (b.end ?? -Infinity) - (a.end ?? -Infinity))
    if (by === "gain") rows.sort((a, b) => gain(b) - gain(a))
    if (by === "status") rows.sort((a, b) => String(a.status).localeCompare(String(b.status)) || a.channel - b.channel)
    byId("count").textContent = rows.length === all.length ? `${all.length}` : `${rows.length} of ${all.length}`
    for (const tile of tiles.values()) tile.remove()
    tiles.clear()
    paint()
    show()
  }

  const across = () => Math.max(1, Math.floor(byId("length").clientWidth / WIDTH))

  /** Only what is seen is there. */
  function paint() {
    const wall = byId("wall"), columns = across()
    byId("length").style.height = `${Math.ceil(rows.length / columns) * HEIGHT}px`
    const first = Math.max(0, Math.floor(wall.scrollTop / HEIGHT) - AHEAD) * columns
    const last = Math.min(rows.length, (Math.ceil((wall.scrollTop + wall.clientHeight) / HEIGHT) + AHEAD) * columns)
    const wanted = new Set()
    for (let at = first; at < last; at++) {
      const unit = rows[at]
      wanted.add(unit.channel)
      let tile = tiles.get(unit.channel)
      if (!tile) {
        const picture = element("img", { alt: "", decoding: "async", draggable: false })
        if (unit.tile) picture.src = `thumbs/${unit.tile}.webp`
        tile = element("button", { type: "button", className: "tile", title: unit.error ?? unit.status ?? "", tabIndex: -1 }, picture, String(unit.channel))
        tile.setAttribute("role", "option")
        tile.dataset.channel = unit.channel
        tile.addEventListener("click", () => go(unit.channel))
        tiles.set(unit.channel, tile)
        byId("length").append(tile)
      }
      tile.style.transform = `translate(${(at % columns) * WIDTH}px, ${Math.floor(at / columns) * HEIGHT}px)`
      tile.setAttribute("aria-selected", String(unit.channel === chosen))
    }
    for (const [channel, tile] of tiles) {
      if (!wanted.has(channel)) {
        tile.remove()
        tiles.delete(channel)
      }
    }
  }

  function go(channel) {
    location.hash = `${encodeURIComponent(about.layers[place].layer)}/${channel}`
  }

  function step(event) {
    const move = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across(), ArrowUp: -across() }[event.key]
    if (!move || !rows.length) return
    event.preventDefault()
    const at = rows.findIndex((unit) => unit.channel === chosen)
    const next = Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + move))
    const top = Math.floor(next / across()) * HEIGHT, wall = byId("wall")
    if (top < wall.scrollTop) wall.scrollTop = top
    if (top + HEIGHT > wall.scrollTop + wall.clientHeight) wall.scrollTop = top + HEIGHT - wall.clientHeight
    go(rows[next].channel)
  }

  function show() {
    const unit = (layers.get(place) ?? []).find((one) => one.channel === chosen)
    const pane = byId("unit")
    pane.hidden = !unit
    if (!unit) return paint()
    const layer = about.layers[place]
    const facts = [["layer", layer.layer], ["filter", unit.channel], ["score", unit.end?.toPrecision(4) ?? "none"], ["at the start", unit.start?.toPrecision(4) ?? "none"], ["status", unit.error ?? unit.status], ["sees", layer.receptive_field ? `${layer.receptive_field} px` : "all"]]
    const list = element("dl")
    for (const [name, value] of facts) list.append(element("dt", { textContent: name }), element("dd", { textContent: String(value) }))
    const parts = [list]
    if (unit.tile) {
      const href = `tiles/${unit.tile}.png`
      parts.unshift(element("img", { src: href, alt: `What filter ${unit.channel} of ${layer.layer} looks for` }))
      parts.push(element("a", { href, download: `${layer.layer}-${unit.channel}.png`, textContent: "The picture, with its recipe inside" }))
    }
    pane.replaceChildren(...parts)
    paint()
  }
}
