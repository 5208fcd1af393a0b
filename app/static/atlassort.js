// By what the wall of the Atlas is sorted: what the ascent says of a filter, and what lies beside it.

import { number } from "./text.js"

const percent = (value) => `${Math.round(100 * value)} %`
const known = (value) => typeof value === "number"

/** Each with the number that it goes by, highest first; those without one are sorted by themselves. */
const ORDERS = {
  channel: { label: "number" },
  end: { label: "score", of: (unit) => unit.end },
  gain: { label: "gain", of: (unit) => (known(unit.end) ? unit.end - (unit.start ?? 0) : null) },
  status: { label: "status" },
  peak: { label: "highest activation", of: (unit) => unit.peak },
  highest: { label: "highest on real pictures", of: (unit) => unit.highest },
  ratio: { label: "times the highest real", of: (unit) => times(unit, unit.highest) },
  mean: { label: "mean on real pictures", of: (unit) => unit.mean },
  off: { label: "share in which it is off", of: (unit) => unit.off, text: percent },
  selectivity: { label: "preference for a class", of: (unit) => unit.selectivity },
  nearest: { label: "likeness to its nearest", of: (unit) => unit.nearest },
  strongest: { label: "share of its strongest input", of: (unit) => unit.strongest, text: percent },
}

export const orders = Object.keys(ORDERS)

/** How many times the highest activation in real pictures the picture of a filter has; null if that means nothing. */
export const times = (unit, highest) => (highest > 0 && known(unit.peak) ? unit.peak / highest : null)

/** The orders that some filter of a layer has a number for, and the chosen one. */
export const offered = (units, chosen) =>
  Object.entries(ORDERS).filter(([name, { of }]) => name === chosen || !of || units.some((unit) => known(of(unit)))).map(([name, { label }]) => [name, label])

/** The filters in that order; those without a number come last. */
export function sort(units, name) {
  const { of } = ORDERS[name]
  const value = (unit) => (known(of(unit)) ? of(unit) : -Infinity)
  const by = {
    channel: () => 0,
    status: (a, b) => String(a.status).localeCompare(String(b.status)),
  }[name] ?? ((a, b) => (value(a) === value(b) ? 0 : value(b) - value(a)))
  return units.sort((a, b) => by(a, b) || a.channel - b.channel)
}

/** What a filter is sorted by, for its caption. */
export function caption(unit, name) {
  const { of, text } = ORDERS[name]
  const value = of?.(unit)
  return known(value) ? (text ?? number)(value) : ""
}
