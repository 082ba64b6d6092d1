// node rabbitmq-publish.mjs QUEUE CLASS BODY [OPTIONS]
import { randomUUID } from "node:crypto";
import amqp from "amqplib";

const [queue, latencyClass, body, options = "{}"] = process.argv.slice(2);
const connection = await amqp.connect(process.env.RABBITMQ_URL);
const channel = await connection.createConfirmChannel();
channel.on("return", () => {
  throw new Error(`queue ${queue} has no class ${latencyClass}`);
});
channel.publish(queue, latencyClass, Buffer.from(body), {
  mandatory: true,
  persistent: true,
  messageId: randomUUID(),
  ...JSON.parse(options), // such as {"contentType": "text/plain", "headers": {"traceparent": "00-…"}}
});
await channel.waitForConfirms(); // rejected if the lane is full
await connection.close();
