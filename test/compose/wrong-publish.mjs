// Runs inside a service's container: publishes on every subject of a list with that service's credentials and says, as JSON, which
// ones the broker refused.
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { readCredentials } from '@skbus/bus';

const subjects = JSON.parse(process.argv.at(-1));
const nc = await connect({
  servers: process.env.SKBUS_NATS_URL,
  authenticator: nkeyAuthenticator(readCredentials(process.env.SKBUS_NATS_CREDS).seed),
});
const refused = new Set();
void (async () => {
  for await (const s of nc.status())
    if (s.type === 'error' && s.error.operation === 'publish') refused.add(s.error.subject);
})();
for (const s of subjects) nc.publish(s, new Uint8Array(0));
await nc.flush();
await nc.flush();
process.stdout.write(JSON.stringify([...refused]));
await nc.close();
