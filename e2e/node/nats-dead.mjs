// node nats-dead.mjs QUEUE prints the dead letters, which stay
import { connect } from "nats";

const stream = `${process.argv[2]}_dead`;
const connection = await connect({ servers: process.env.NATS_URL, token: process.env.NATS_TOKEN });
const { state } = await (await connection.jetstreamManager()).streams.info(stream);
if (state.messages > 0) {
  const letters = await connection.jetstream().consumers.get(stream);
  for await (const message of await letters.fetch({ max_messages: state.messages })) {
    const headers = Object.fromEntries(message.headers ?? []);
    console.log(JSON.stringify({ headers, body: message.string() }));
  }
}
await connection.close();
