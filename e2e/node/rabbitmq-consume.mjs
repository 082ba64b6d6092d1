// node rabbitmq-consume.mjs QUEUE CLASS, where class "dead" takes dead letters
import amqp from "amqplib";

const [queue, latencyClass] = process.argv.slice(2);
const connection = await amqp.connect(process.env.RABBITMQ_URL);
const channel = await connection.createChannel();
process.once("SIGTERM", async () => {
  await channel.close();
  await connection.close();
});
await channel.prefetch(1);
await channel.consume(`${queue}.${latencyClass}`, (message) => {
  const { messageId: id, priority, contentType, headers } = message.properties;
  console.log(JSON.stringify({ id, priority, contentType, headers, body: message.content.toString() }));
  channel.ack(message); // after the work is done
});
