// Print what streamseg publishes, always the newest: however slow this program is, it acts on what is now.
//     node subscribe.js [--stream NAME] [--masks DIR] [--work S] [ADDRESS [OWN.key_secret PUBLISHER.key]]
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { listen, main, maskOf, msSince, newest, programArguments } from "./streamseg.js"

function writePgm(path, mask, { width, height }) {
  const head = Buffer.from(`P5 ${width} ${height} 255\n`)
  writeFileSync(path, Buffer.concat([head, mask.map((pixel) => pixel * 255)]))
}

function frameText(message, folder) {
  const { header } = message
  const masks = header.objects.map((object) => maskOf(object, message))
  const [ageMs, wayMs] = [msSince(header.arrived_ns ?? header.captured_ns), msSince(header.published_ns)]
  let text = ` ${header.frame}, ${ageMs.toFixed(1)} ms old, ${wayMs.toFixed(2)} ms on the way`
  header.objects.forEach((object, position) => {
    const mask = masks[position]
    const box = (object.box_xyxy ?? []).map((edge) => edge.toFixed(0)).join(",")
    text += `; ${object.id} ${object.label} ${object.state} ${object.score.toFixed(2)} [${box}] ${object.area_px} px`
    if (mask && folder) writePgm(join(folder, `${header.stream}-${header.frame}-${object.id}.pgm`), mask, header)
  })
  return text
}

await main(async () => {
  const args = programArguments(["stream", "masks", "work"])
  const socket = listen(args, args.stream)
  for (let over = false; !over; ) {
    const heard = await newest(socket, 3000)
    if (heard.length === 0) console.log("nothing for 3 s, not even a heartbeat: stop, the publisher is gone")
    for (const message of heard) {
      const { header } = message
      let line = `${header.stream} ${header.kind}`
      if (header.kind === "frame") line += frameText(message, args.masks)
      else if (header.kind === "gap") line += ` ${header.frame}: ${header.reason}`
      else if (header.kind === "status") line += `: ${header.state} ${header.reason}`
      console.log(line)
      if (header.kind === "frame" && args.work) await sleep(Number(args.work) * 1000)
      over ||= header.kind === "end"
    }
  }
  socket.close()
  return 0
})
