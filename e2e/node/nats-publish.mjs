// node nats-publish.mjs QUEUE CLASS BODY [HEADERS] [ID]
import { randomUUID } from "node:crypto";
import { connect, headers } from "nats";

const [queue, latencyClass, body, fields = "{}", msgID = randomUUID()] = process.argv.slice(2);
const header = headers();
for (const [name, value] of Object.entries(JSON.parse(fields))) {
  header.set(name, value); // such as {"content-type": "text/plain", "traceparent": "00-…"}
}
const connection = await connect({ servers: process.env.NATS_URL, token: process.env.NATS_TOKEN });
// Rejected if the queue has no such class, or the lane is full.
await connection.jetstream().publish(`${queue}.${latencyClass}`, body, { headers: header, msgID });
await connection.close();
