import type { SkBuff } from '@skbus/skb';
import type { FilterField } from './field.ts';
import type { FilterSubject } from './subject.ts';

const text = (name: string, about: string, of: (s: FilterSubject) => string | undefined): FilterField => ({
  name,
  type: 'text',
  about,
  text: (v) => of(v.subject),
});

const ofSkb = (name: string, about: string, of: (skb: SkBuff) => number): FilterField => ({
  name,
  type: 'uint',
  about,
  max: 0xffffffff,
  read: [(v) => (v.subject.skb === undefined ? -1 : of(v.subject.skb))],
});

/** What no header says: where in the stack the packet is, and what the stack has noted about it. */
export const OWN_FIELDS: readonly FilterField[] = [
  text('skb.layer', 'the layer at whose seam it is', (s) => s.seam.layer),
  text('skb.dir', 'rx: comes into the layer; tx: leaves it', (s) => s.seam.dir),
  text('skb.func', 'the hand-over, control message or trace point', (s) => s.seam.func.replace(/^:/, '')),
  ofSkb('skb.id', 'the journey id that a trace shows', (skb) => skb.id),
  { ...ofSkb('skb.mark', 'skb->mark', (skb) => skb.mark), put: (skb, value) => void (skb.mark = value) },
  ofSkb('skb.len', 'bytes in the layer’s view', (skb) => skb.len),
  ofSkb('skb.ifindex', 'device; 0: not chosen yet', (skb) => skb.ifindex),
  ofSkb('skb.gso_size', 'payload per segment of a packet yet to be cut; 0: a plain one', (skb) => skb.gsoSize),
  {
    name: 'sk.id',
    type: 'uint',
    about: 'id of the socket it belongs to',
    max: 0xffffffff,
    read: [(v) => v.subject.sk?.id ?? -1],
  },
  text('sk.state', 'state of that socket: ESTABLISHED, SYN_SENT, …', (s) => s.sk?.state),
];
