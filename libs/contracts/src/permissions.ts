import { HAND_OVERS } from '@skbus/skb';
import { LAYERS, type Layer, type Service } from './layers.ts';
import { buckets, HAND_OVER_OWNER, HAND_OVER_SENDERS, srvName, subjectMatches, subjects } from './subjects.ts';

/** What a broker lets one user do; patterns as NATS has them. */
export interface Permissions {
  publish: string[];
  subscribe: string[];
}

type Bucket = keyof typeof buckets;

/** Who asks or tells another service something, besides the orchestrator, who may ask everybody everything. */
const CTL_SENDERS: Record<string, readonly Layer[]> = {
  'orchestrator.hello': LAYERS,
  'nic.register': ['neigh', 'ip'],
  'ip.register': ['udp', 'tcp'],
  'ip.route_query': ['udp', 'tcp'],
  'ip.neigh_update': ['neigh'],
  'neigh.hint': ['ip'],
  'all.rt_cache_flush': ['ip'],
};

/** Who may have the last of TCP's skbs in hand, to send or to drop it. */
const BELOW_TCP: readonly Layer[] = ['ip', 'neigh', 'nic'];

interface BucketUsers {
  write: readonly Service[];
  read: readonly Service[];
  /** They read all of it, and write what is under their own name in this part. */
  own?: { part: string; by: readonly Layer[] };
}

/** Who writes a bucket, and who only reads it. */
const BUCKET_USERS: Record<Bucket, BucketUsers> = {
  netdev: { write: ['nic'], read: ['neigh', 'ip'] },
  ptype: { write: ['nic'], read: [] },
  addr: { write: ['ip'], read: ['neigh'] },
  route: { write: ['ip'], read: [] },
  protocol: { write: ['ip'], read: [] },
  neigh: { write: ['neigh'], read: [] },
  expose: { write: ['socket'], read: [] },
  secret: { write: ['tcp'], read: [] },
  sysctl: { write: ['neigh', 'ip', 'tcp'], read: [] },
  // The rules are the orchestrator's: who writes one has another layer drop everything, or killed.
  fault: { write: ['orchestrator'], read: [], own: { part: 'count', by: LAYERS } },
};

/** Where the replies to this service's own requests arrive; nobody else may listen there. */
export const inboxOf = (netns: string, service: Service): string => `_INBOX.${netns}.${service}`;

/**
 * Exactly the subjects that a service's layer needs (DESIGN section 4), made from the subject table. A reply to a request
 * that was received is allowed besides these.
 */
export function permissionsOf(netns: string, service: Service): Permissions {
  const p: Permissions = { publish: [], subscribe: [`${inboxOf(netns, service)}.>`] };
  if (service === 'orchestrator') orchestrator(netns, p);
  else layer(netns, service, p);
  for (const [name, users] of Object.entries(BUCKET_USERS) as [Bucket, BucketUsers][]) {
    const bucket = buckets[name](netns);
    const { write, read, own } = users;
    if (write.includes(service)) p.publish.push(`$KV.${bucket}.>`);
    else if (own?.by.includes(service as Layer)) p.publish.push(`$KV.${bucket}.${own.part}.${service}.>`);
    if ([...write, ...read, ...(own?.by ?? [])].includes(service)) p.publish.push(...kvApi(bucket));
  }
  if (p.publish.some((s) => s.startsWith('$JS.'))) p.publish.push('$JS.API.INFO');
  return p;
}

/** Whether the broker lets this service publish there (replies aside). */
export const mayPublish = (netns: string, service: Service, subject: string): boolean =>
  permissionsOf(netns, service).publish.some((p) => fits(p, subject));

export const fits = (pattern: string, subject: string): boolean =>
  subjectMatches(pattern.split('.'), subject.split('.'));

function orchestrator(netns: string, p: Permissions): void {
  p.publish.push(`ctl.v1.${netns}.>`, '$SRV.>');
  p.subscribe.push(
    subjects.ctl(netns, 'orchestrator', '*'),
    ...['log', 'trace', 'fault'].map((top) => `${top}.v1.${netns}.*`),
  );
}

function layer(netns: string, self: Layer, p: Permissions): void {
  const any = '*' as unknown as number;
  for (const to of HAND_OVERS) {
    const subject = subjects.skb(netns, to, any);
    if (HAND_OVER_SENDERS[to].includes(self)) p.publish.push(subject);
    if (HAND_OVER_OWNER[to] === self) p.subscribe.push(subject);
  }
  for (const t of ['tcp', 'udp'] as const) {
    const cmd = subjects.skCmd(netns, t, any);
    const evt = subjects.skEvt(netns, t, any);
    if (self === t) {
      p.publish.push(evt);
      p.subscribe.push(cmd);
    } else if (self === 'socket') {
      p.publish.push(cmd);
      p.subscribe.push(evt);
    }
  }
  if (BELOW_TCP.includes(self)) p.publish.push(subjects.tcpWfree(netns, any));
  if (self === 'tcp') p.subscribe.push(subjects.tcpWfree(netns, any));
  if (self === 'nic') {
    p.publish.push(subjects.wire('*', '*'));
    p.subscribe.push(subjects.wire('*', '*'));
  }
  p.subscribe.push(subjects.ctl(netns, self, '*'), subjects.all(netns, '*'));
  p.subscribe.push('$SRV.*', `$SRV.*.${srvName(self)}`, `$SRV.*.${srvName(self)}.*`);
  for (const [to, senders] of Object.entries(CTL_SENDERS))
    if (senders.includes(self)) p.publish.push(`ctl.v1.${netns}.${to}`);
  p.publish.push(subjects.log(netns, self), subjects.trace(netns, self), subjects.fault(netns, self));
}

/** What a client of one key-value bucket says to JetStream (nats-architecture-and-design ADR-8). */
const kvApi = (bucket: string): string[] => [
  `$JS.API.STREAM.CREATE.KV_${bucket}`,
  `$JS.API.STREAM.INFO.KV_${bucket}`,
  `$JS.API.STREAM.MSG.GET.KV_${bucket}`,
  `$JS.API.DIRECT.GET.KV_${bucket}.>`,
  `$JS.API.CONSUMER.CREATE.KV_${bucket}.>`,
  `$JS.API.CONSUMER.INFO.KV_${bucket}.>`,
  `$JS.API.CONSUMER.DELETE.KV_${bucket}.>`,
  `$JS.FC.KV_${bucket}.>`,
];

/** For somebody who looks (`nats sub 'skb.>'`, `nats micro ls`): hears all of a stack, asks who is there, says nothing. */
export const observerPermissions = (netns: string): Permissions => ({
  publish: ['$SRV.>'],
  subscribe: [
    `_INBOX.${netns}.observer.>`,
    ...['skb', 'sk', 'trace', 'log', 'fault', 'ctl'].map((top) => `${top}.v1.${netns}.>`),
    'wire.v1.>',
  ],
});
