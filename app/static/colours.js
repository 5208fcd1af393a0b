// Numbers of the engine as colours: unpacks its answers (app/looking.py) and paints maps as vizcore.look.display does.

const HALVES = new Float32Array(65536) // IEEE 754 binary16 by its bits
for (let bits = 0; bits < 65536; bits++) {
  const [sign, power, rest] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023]
  HALVES[bits] = sign * (power === 31 ? (rest ? NaN : Infinity) : power ? 2 ** (power - 15) * (1 + rest / 1024) : 2 ** -14 * (rest / 1024))
}

// Ten points of viridis, and blue, black, orange: the tables of vizcore.look.display.
const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37]]
const DIVERGING = [[130, 200, 255], [40, 110, 230], [0, 0, 0], [225, 95, 20], [255, 205, 120]]
const GRAY = [[0, 0, 0], [255, 255, 255]]

/** 256 colours as pixels of a canvas (bytes R, G, B, A). */
function ramp(points) {
  const bytes = new Uint8Array(1024)
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (points.length - 1)
    const k = Math.min(points.length - 2, Math.floor(at))
    for (let c = 0; c < 3; c++) bytes[4 * i + c] = Math.round(points[k][c] + (at - k) * (points[k + 1][c] - points[k][c]))
    bytes[4 * i + 3] = 255
  }
  return new Uint32Array(bytes.buffer)
}
const RAMPS = { gray: ramp(GRAY), diverging: ramp(DIVERGING), normalised: ramp(VIRIDIS), blurred: ramp(VIRIDIS) }
export const MODES = Object.keys(RAMPS)

/** The answer of the engine: its header, with bytes where they were left out. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true)
  const text = new TextDecoder().decode(new Uint8Array(buffer, 4, length))
  return JSON.parse(text, (_, value) => (value?.$ ? buffer.slice(4 + length + value.$[0], 4 + length + value.$[0] + value.$[1]) : value))
}

/** Maps {values: bytes, shape, scale} with their numbers: {data, count, height, width}, and the range of each map. */
export function maps(told) {
  const [count, height, width] = told.shape
  const halves = new Uint16Array(told.values)
  const data = new Float32Array(halves.length)
  const low = new Float32Array(count).fill(Infinity)
  const high = new Float32Array(count).fill(-Infinity)
  const area = height * width
  for (let i = 0; i < count; i++) {
    for (let k = i * area; k < (i + 1) * area; k++) {
      const value = HALVES[halves[k]] * told.scale
      data[k] = value
      if (value < low[i]) low[i] = value
      if (value > high[i]) high[i] = value
    }
  }
  return { data, count, height, width, low, high, size: told.size, pool: told.pool }
}

/** What is painted darkest and brightest: of all maps if `shared`, else of map `i`. */
function range(all, mode, shared, i) {
  const least = shared ? Math.min(...all.low) : all.low[i]
  const most = shared ? Math.max(...all.high) : all.high[i]
  if (mode === "gray") return [0, Math.max(most, 1e-30)]
  if (mode === "normalised" || mode === "blurred") return [least, Math.max(most, least + 1e-30)]
  const reach = Math.max(-least, most, 1e-30)
  return [-reach, reach]
}

const BLUR = 0.02 // standard deviation of the blur as a share of the side, as in vizcore.look.display

/** The magnitudes of maps after a Gaussian blur, the border's values continued. */
function blurred(all) {
  const { data, count, height, width } = all
  const sigma = Math.max(0.5, BLUR * Math.max(height, width))
  const reach = Math.ceil(4 * sigma)
  const weights = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)))
  const sum = weights.reduce((a, b) => a + b)
  const made = new Float32Array(data.length)
  const row = new Float32Array(height * width)
  const low = new Float32Array(count).fill(Infinity)
  const high = new Float32Array(count).fill(-Infinity)
  const clamp = (value, length) => (value < 0 ? 0 : value >= length ? length - 1 : value)
  for (let i = 0; i < count; i++) {
    const from = i * height * width
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        let value = 0
        for (let k = -reach; k <= reach; k++) value += weights[k + reach] * Math.abs(data[from + y * width + clamp(x + k, width)])
        row[y * width + x] = value / sum
      }
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        let value = 0
        for (let k = -reach; k <= reach; k++) value += weights[k + reach] * row[clamp(y + k, height) * width + x]
        value /= sum
        made[from + y * width + x] = value
        if (value < low[i]) low[i] = value
        if (value > high[i]) high[i] = value
      }
  }
  return { ...all, data: made, low, high }
}

/** The maps one under the other, as one picture: ImageData of width × (count · height). */
export function paint(all, mode, shared) {
  if (mode === "blurred") all = blurred(all)
  const { data, count, height, width } = all
  const image = new ImageData(width, count * height)
  const pixels = new Uint32Array(image.data.buffer)
  const colours = RAMPS[mode]
  const area = height * width
  let [low, high] = range(all, mode, shared, 0)
  for (let i = 0; i < count; i++) {
    if (!shared) [low, high] = range(all, mode, false, i)
    const factor = 255 / (high - low)
    for (let k = i * area; k < (i + 1) * area; k++) {
      const at = (data[k] - low) * factor + 0.5
      pixels[k] = colours[at < 0 ? 0 : at > 255 ? 255 : at | 0]
    }
  }
  return image
}

/** Weights {values, shape [O, I, h, w], scale} with their numbers: {data, outputs, inputs, height, width}. */
export function weights(told) {
  const [outputs, inputs, height, width] = told.shape
  return { data: Float32Array.from(new Uint16Array(told.values), (bits) => HALVES[bits] * told.scale), outputs, inputs, height, width }
}

/** One filter of three colours: grey is 0; or the mean over its inputs from blue over black to orange. `reach` is the brightest. */
export function kernel(all, index, reach, coloured) {
  const { data, inputs, height, width } = all
  const image = new ImageData(width, height)
  const pixels = new Uint32Array(image.data.buffer)
  const area = height * width
  const from = index * inputs * area
  for (let k = 0; k < area; k++) {
    if (coloured && inputs === 3) {
      for (let c = 0; c < 3; c++) image.data[4 * k + c] = Math.round((data[from + c * area + k] / reach / 2 + 0.5) * 255) // clamped
      image.data[4 * k + 3] = 255
    } else {
      let sum = 0
      for (let c = 0; c < inputs; c++) sum += data[from + c * area + k]
      pixels[k] = signed(sum / inputs, reach)
    }
  }
  return image
}

const signed = (value, reach) => RAMPS.diverging[Math.max(0, Math.min(255, Math.floor((value / reach / 2 + 0.5) * 255 + 0.5)))]

/** Filters by inputs, a cell for each pair with a gap of one pixel between (none for single numbers). */
export function matrix(all, reaches) {
  const { data, outputs, inputs, height, width } = all
  const gap = height * width > 1 ? 1 : 0
  const image = new ImageData(inputs * (width + gap) - gap, outputs * (height + gap) - gap)
  const pixels = new Uint32Array(image.data.buffer)
  let at = 0
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < inputs; i++)
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) pixels[(o * (height + gap) + y) * image.width + i * (width + gap) + x] = signed(data[at++], reaches[o])
  return image
}

/** The diverging colours, from the left to the right. */
export const legend = () => new ImageData(new Uint8ClampedArray(RAMPS.diverging.buffer.slice(0)), 256, 1)

/** A canvas that holds the picture, to be drawn from. */
export function sheet(image) {
  const canvas = new OffscreenCanvas(image.width, image.height)
  canvas.getContext("2d").putImageData(image, 0, 0)
  return canvas
}
