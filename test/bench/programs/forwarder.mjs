// One layer reduced to nothing: takes a message from one subject and publishes the same bytes on the next.
//
//   forwarder.mjs URL FROM:TO…        a TO that starts with "ack." gets an empty message instead of the bytes
import { connect } from '@nats-io/transport-node';

const [url, ...routes] = process.argv.slice(2);
const nc = await connect({ servers: url, noEcho: true });
const EMPTY = new Uint8Array(0);
for (const route of routes) {
  const [from = '', to = ''] = route.split(':');
  const acks = to.startsWith('ack.');
  nc.subscribe(from, { callback: (_error, message) => nc.publish(to, acks ? EMPTY : message.data) });
}
await nc.flush();
process.stdout.write('ready\n');
process.once('SIGTERM', () => void nc.close().then(() => process.exit(0)));
