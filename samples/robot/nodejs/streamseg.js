// Hearing what streamseg publishes, with zeromq and @msgpack/msgpack alone: for copying into a program of your own.
// docs/wire-format.md has every field.
import { readFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { decode } from "@msgpack/msgpack"
import { Subscriber } from "zeromq"

const PIXELS_MAX = 1 << 26 // a larger frame is not believed
const MORE_WITHIN_MS = 5 // Node's timers run on a clock that stands still while it computes: 1 could be over at once

/** What both programs take: [ADDRESS [OWN.key_secret PUBLISHER.key]], and options with a value each. */
export function programArguments(names) {
  const options = Object.fromEntries(names.map((name) => [name, { type: "string" }]))
  const { values, positionals } = parseArgs({ options, allowPositionals: true })
  if (positionals.length === 2 || positionals.length > 3) throw new Error("expected [ADDRESS [OWN.key_secret PUBLISHER.key]]")
  const [address = "tcp://127.0.0.1:5560", ownKey, serverKey] = positionals
  return { ...values, address, ownKey, serverKey }
}

/** The line `public-key = "…"` or `secret-key = "…"` of a key file. */
function readKey(path, which) {
  const found = readFileSync(path, "ascii").match(new RegExp(`^\\s*${which}-key\\s*=\\s*"(.{40})"\\s*$`, "m"))
  if (!found) throw new Error(`expected a ${which} key in ${path}`)
  return found[1]
}

/** A socket on which little waits: what waits is old by the time it is acted on. */
export function listen({ address, ownKey, serverKey }, stream) {
  const keys = serverKey && {
    curvePublicKey: readKey(ownKey, "public"),
    curveSecretKey: readKey(ownKey, "secret"),
    curveServerKey: readKey(serverKey, "public"),
  }
  const socket = new Subscriber({
    receiveHighWaterMark: 4,
    receiveBufferSize: 1 << 17,
    linger: 0,
    ipv6: address.includes("["),
    ...keys,
  })
  socket.connect(address)
  socket.subscribe(...(stream === undefined ? [""] : [`${stream}/`, `${stream}.`]))
  return socket
}

/** Parts of the next message; undefined if none comes within so many milliseconds. */
async function receive(socket, waitMs) {
  socket.receiveTimeout = waitMs
  try {
    return await socket.receive()
  } catch (error) {
    if (error.code === "EAGAIN") return undefined
    throw error
  }
}

/**
 * [{header, parts}] of what has come, of each stream's frames the newest alone; [] if nothing has.
 * Never ZMQ_CONFLATE, which tears messages of several parts apart.
 */
export async function newest(socket, waitMs) {
  let parts = await receive(socket, 0)
  const late = parts !== undefined
  parts ??= await receive(socket, waitMs)
  let found = []
  for (const untilMs = performance.now() + 100; parts !== undefined; ) {
    // 64 bits do not fit into a number of JavaScript: times are BigInt.
    const header = decode(parts[1], { useBigInt64: true })
    if (header.v !== 1) throw new Error(`expected version 1 of what streamseg publishes, got ${header.v}`)
    if (header.kind === "frame")
      found = found.filter((each) => each.header.kind !== "frame" || each.header.stream !== header.stream)
    found.push({ header, parts })
    parts = performance.now() < untilMs ? await receive(socket, late ? MORE_WITHIN_MS : 0) : undefined
  }
  return found
}

/** height × width bytes in rows, 1 where the object is; undefined if masks are not published. */
export function maskOf(object, { header, parts }) {
  if (object.mask === null) return undefined
  const { height, width } = header
  if (!(height >= 1 && width >= 1 && height * width <= PIXELS_MAX)) throw new Error(`no frame is ${width} x ${height}`)
  const data = parts[object.mask.part]
  if (!(object.mask.part >= 2) || data === undefined) throw new Error("the mask's part is missing")
  if (object.mask.encoding === "coco-rle") return decodeRle(data, height, width)
  if (object.mask.encoding !== "uint8" || data.length !== height * width)
    throw new Error(`expected a mask as coco-rle or uint8, got ${object.mask.encoding}`)
  return data
}

/** The mask of COCO's compressed run lengths. */
function decodeRle(data, height, width) {
  const mask = new Uint8Array(height * width)
  const counts = []
  let at = 0
  let value = 0
  let factor = 1 // a power of 32; shifts in JavaScript end at 32 bits
  for (const letter of data) {
    const group = letter - 48
    if (group < 0 || group > 63 || factor > 2 ** 45) throw new Error("the mask is no run lengths of COCO")
    value += (group & 31) * factor
    factor *= 32
    if (group & 32) continue
    if (group & 16) value -= factor
    if (counts.length > 2) value += counts.at(-2)
    if (value < 0 || value > mask.length - at) throw new Error("the mask is not of the frame's size")
    if (counts.length % 2 === 1) {
      // Runs go down the columns, the bytes along the rows.
      let x = Math.floor(at / height)
      let y = at % height
      for (let left = value; left > 0; left--) {
        mask[y * width + x] = 1
        if (++y === height) {
          y = 0
          x++
        }
      }
    }
    at += value
    counts.push(value)
    value = 0
    factor = 1
  }
  if (factor !== 1 || at !== mask.length) throw new Error("the mask is not of the frame's size")
  return mask
}

/** Milliseconds from a time of the header until now; the clock of JavaScript has whole ones. */
export function msSince(thenNs) {
  return Number(BigInt(Date.now()) * 1_000_000n - BigInt(thenNs)) / 1e6
}

/** Run a program; what goes wrong is a line, not a trace. */
export async function main(program) {
  try {
    process.exitCode = await program()
  } catch (error) {
    console.error(`error: ${error.message}`)
    process.exitCode = 2
  }
}
