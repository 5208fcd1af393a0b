// Small helpers: elements whose text is always text, numbers as people read them.

/** An element with properties and children; strings become text nodes, never markup. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue
    if (name === "class") made.className = value
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value)
    else if (name in made && typeof value !== "string") made[name] = value
    else made.setAttribute(name, value === true ? "" : value)
  }
  made.append(...children.filter((child) => child !== null && child !== undefined))
  return made
}

export const byId = (id) => document.getElementById(id)

/** Sets text only where it differs: assistive technology then hears changes only. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text
}

/** Sets an icon of the sprite in the page. */
export function setIcon(button, name) {
  button.querySelector("use").setAttribute("href", `#i-${name}`)
}

export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–"
  const size = Math.abs(value)
  if (size !== 0 && (size < 0.001 || size >= 1e5)) return value.toExponential(1)
  return value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0)
}

export function seconds(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return ""
  if (value < 1) return "< 1 s"
  if (value < 90) return `${Math.round(value)} s`
  if (value < 5400) return `${Math.round(value / 60)} min`
  return `${(value / 3600).toFixed(1)} h`
}

export function bytes(value) {
  if (!value) return ""
  return value >= 1e9 ? `${(value / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(value / 1e6))} MB`
}

/** Space on a disk, in the units of its settings: "38 MiB". */
export const space = (value) => (value < 1000 * 2 ** 20 ? `${Math.round(value / 2 ** 20)} MiB` : `${(value / 2 ** 30).toFixed(1)} GiB`)

/** "0-15, 40" from a list of channels. */
export function ranges(channels) {
  const parts = []
  for (let first = 0; first < channels.length; ) {
    let last = first
    while (last + 1 < channels.length && channels[last + 1] === channels[last] + 1) last += 1
    parts.push(last - first > 1 ? `${channels[first]}–${channels[last]}` : channels.slice(first, last + 1).join(", "))
    first = last + 1
  }
  return parts.join(", ")
}

/** Two animation frames: what was drawn before is on the screen after. */
export const painted = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))

/** At most one call each `gap` milliseconds; the last call is never lost. */
export function throttle(gap, action) {
  let timer = null
  let last = 0
  return (...args) => {
    clearTimeout(timer)
    const wait = last + gap - performance.now()
    const act = () => {
      last = performance.now()
      action(...args)
    }
    if (wait <= 0) act()
    else timer = setTimeout(act, wait)
  }
}
