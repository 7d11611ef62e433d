// Wait until an object is followed: ends with 0 then, and with 1 if that takes too long.
//     node wait_for_object.js (--label TEXT | --id N) [--timeout S] [ADDRESS [OWN.key_secret PUBLISHER.key]]
import { listen, main, newest, programArguments } from "./streamseg.js"

await main(async () => {
  const args = programArguments(["label", "id", "timeout"])
  if ((args.label === undefined) === (args.id === undefined)) throw new Error("expected --label TEXT or --id N")
  const timeoutS = Number(args.timeout ?? 10)
  const socket = listen(args)
  const untilMs = performance.now() + timeoutS * 1000
  for (let leftMs; (leftMs = untilMs - performance.now()) > 0; ) {
    for (const { header } of await newest(socket, Math.ceil(leftMs))) {
      for (const object of header.objects ?? []) {
        if (object.state === "TRACKED" && (object.label === args.label || String(object.id) === args.id)) {
          console.log(`${header.stream} frame ${header.frame}: ${object.id} ${object.label} is TRACKED`)
          socket.close()
          return 0
        }
      }
    }
  }
  socket.close()
  console.log(`not TRACKED within ${timeoutS} s: ${args.label ?? args.id}`)
  return 1
})
