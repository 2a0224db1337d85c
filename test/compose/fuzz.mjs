// Runs inside a service's container: with that service's credentials says random and nearly right things on every subject that they are good
// for. Prints how many.
import { connect, headers, nkeyAuthenticator } from '@nats-io/transport-node';
import { readCredentials } from '@skbus/bus';
import { encodeCmds, encodeEvts, encodeSkbList, pb, permissionsOf } from '@skbus/contracts';
import { below, SeededRng, SkBuff } from '@skbus/skb';

const [service, seed] = process.argv.slice(-2);
const ROUNDS = 100;
const netns = process.env.SKBUS_NETNS;
const rng = new SeededRng(Number(seed));
const noise = (max) => Uint8Array.from({ length: below(rng, max) }, () => below(rng, 256));
const bent = (valid) => {
  const b = valid.slice();
  for (let i = below(rng, 4); i >= 0; i--) b[below(rng, b.length)] = below(rng, 256);
  return b;
};
const ip = [0x45, 0, 0, 60, 0, 1, 0, 0, 64, 6, 0, 0, 10, 79, 0, 1, 10, 79, 0, 2];

function skbs() {
  const head = Uint8Array.from([...noise(20), ...ip, ...noise(80)]);
  const skb = new SkBuff(head, below(rng, head.length), head.length, [noise(100)]);
  skb.networkHeader = below(rng, head.length);
  skb.gsoSize = below(rng, 3) ? 0 : below(rng, 65536);
  return encodeSkbList(7, below(rng, 100), below(rng, 100), [skb, skb]);
}
const view = { sndTo: 9, rcvGot: 9, rcvRead: 9, finGot: true, haveChild: true, accepted: true };
const cmds = () =>
  encodeCmds(7, [
    { sk: 2, opSeq: 1, connect: { addr: 0x0a4f0001, port: 9 }, view, data: { offset: 0, data: noise(50) } },
  ]);
const evts = () => encodeEvts(7, [{ sk: 2, opAck: 1, opErrno: 0, data: { offset: 3, data: noise(50) } }]);
const device = () =>
  pb.NetDevice.encode({ ifindex: 2 + below(rng, 3), name: 'skb0', mtu: below(rng, 65536), mac: noise(7) }).finish();

const valid = (subject) => {
  if (subject.startsWith('skb.')) return skbs();
  if (subject.includes('.evt.')) return evts();
  if (subject.startsWith('sk.')) return cmds();
  if (subject.startsWith('fault.')) return lie();
  return subject.includes('netdev') ? device() : message();
};

/** Protobuf that parses: fields of every wire type with small numbers. */
function message(depth = 0) {
  const parts = [];
  for (let i = below(rng, 6); i >= 0; i--) {
    const type = [0, 1, 2, 5][below(rng, 4)];
    parts.push(((1 + below(rng, 14)) << 3) | type);
    if (type === 0) parts.push(below(rng, 128));
    else if (type === 2) {
      const bytes = (depth < 3 && below(rng, 2) ? message(depth + 1) : noise(40)).slice(0, 127);
      parts.push(bytes.length, ...bytes);
    } else for (let n = type === 1 ? 8 : 4; n > 0; n--) parts.push(below(rng, 256));
  }
  return Uint8Array.from(parts);
}

/** That a rule has asked for the end of another service. */
const lie = () => {
  const d = { seq: 1, rule: 'f1', layer: service, dir: 'rx', func: 'x', ordinal: 1, skb: 0, what: 'service kill nic' };
  return pb.FaultDecisionList.encode({ decisions: [d] }).finish();
};

/** Subjects that a pattern of the table allows. */
function within(pattern) {
  return ['0', '1', '2'].map((x) => pattern.replaceAll('*', x).replace(/>$/, x));
}

const nc = await connect({
  servers: process.env.SKBUS_NATS_URL,
  authenticator: nkeyAuthenticator(readCredentials(process.env.SKBUS_NATS_CREDS).seed),
  inboxPrefix: `_INBOX.${netns}.${service}`,
});
let refused = 0;
void (async () => {
  for await (const s of nc.status()) if (s.type === 'error') refused++;
})();
// What would make or end streams of its own is the broker's business, not another service's.
const patterns = permissionsOf(netns, service).publish.filter((p) => !p.startsWith('$JS.'));
const all = [...new Set(patterns.flatMap(within))];
const reply = `_INBOX.${netns}.${service}.fuzz`;
let said = 0;
for (let i = 0; i < ROUNDS; i++) {
  for (const subject of all) {
    for (const m of [noise(200), bent(valid(subject)), valid(subject)]) {
      nc.publish(subject, m, subject.startsWith('ctl.') ? { reply } : {});
      said++;
    }
  }
  await nc.flush();
}
// What was written is taken back: it is not what the service itself has to say.
const gone = headers();
gone.set('KV-Operation', 'DEL');
for (const subject of all.filter((s) => s.startsWith('$KV.')))
  nc.publish(subject, new Uint8Array(0), { headers: gone });
await nc.flush();
process.stdout.write(JSON.stringify({ subjects: all.length, said, refused }));
await nc.close();
