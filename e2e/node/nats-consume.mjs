// node nats-consume.mjs QUEUE CLASS
import { connect } from "nats";

const [queue, latencyClass] = process.argv.slice(2);
const connection = await connect({ servers: process.env.NATS_URL, token: process.env.NATS_TOKEN });
const lane = await connection.jetstream().consumers.get(`${queue}_${latencyClass}`, "overtake");
const messages = await lane.consume({ max_messages: 1 });
process.once("SIGTERM", () => messages.close());
for await (const message of messages) {
  const headers = Object.fromEntries(message.headers ?? []);
  console.log(JSON.stringify({ headers, body: message.string() }));
  await message.ackAck(); // after the work is done; message.working() while it takes long
}
await connection.drain();
