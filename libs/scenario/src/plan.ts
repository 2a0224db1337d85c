import type { Millis } from '@skbus/skb';

/** The stack under test, or the host at the other end of its cable (opposite running services: a Linux kernel). */
export type Side = 'stack' | 'peer';

/** What runs a scenario: hosts in virtual time, or the services of a stack that is up. */
export type Target = 'sim' | 'services';

/** A scenario that has been read and found to make sense. */
export interface Plan {
  name: string;
  /** Where it stands. */
  file: string;
  line: number;
  seed: number;
  /** The only target that can run it; undefined: any. */
  needs: Target | undefined;
  setup: Setup;
  workloads: Workload[];
  steps: Step[];
  expect: Expectation[];
  /** What is not over by then is reported as it is. */
  withinMs: Millis;
}

export interface Setup {
  /** One way. */
  latencyMs: Millis | undefined;
  bitsPerSecond: number | undefined;
  mtu: number | undefined;
  /** The simulated devices take checksums and whole GSO segments. */
  offload: boolean;
  /** The stack's, besides its own network: prefix → next hop. */
  routes: Record<string, string>;
  /** By the kernel's names; in a simulation both hosts have them. */
  sysctl: Record<string, string>;
}

/** What programs do meanwhile. */
export interface Workload {
  kind: 'download' | 'upload' | 'echo' | 'ping' | 'connect';
  text: string;
  /** Who asks; the other side serves. A download by the peer is sent by the stack. */
  by: Side;
  /** download, upload. */
  bytes: number;
  /** How often: echo, ping, connect. */
  count: number;
  everyMs: Millis;
  proto: 'tcp' | 'udp';
  /** An address in place of the other side's. */
  to: string | undefined;
  port: number;
}

/** With `everyMs` again and again, until the workload is over. */
export type When = { atMs: Millis; everyMs: Millis | undefined } | { afterBytes: number };

/** Steps that have a time. */
export type Timed = Step & { when: { atMs: Millis; everyMs: Millis | undefined } };
export const isTimed = (s: Step): s is Timed => 'atMs' in s.when;

export interface Step {
  when: When;
  host: Side;
  action: StepAction;
  /** As it was written. */
  text: string;
}

export type StepAction =
  /** A rule, service faults included. */
  | { kind: 'fault'; rule: string; id: string | undefined }
  /** Takes one rule away; undefined: all. */
  | { kind: 'clear'; id: string | undefined }
  | { kind: 'step' | 'release'; id: string }
  | { kind: 'sysctl'; name: string; value: string };

export const OPS = ['<=', '>=', '==', '!=', '<', '>'] as const;
export type Op = (typeof OPS)[number];

/** What can be looked at; all but the first two are numbers. */
export type Metric =
  | { kind: 'stream'; whole: boolean }
  | { kind: 'neighbour'; host: Side; address: string; state: string }
  /** RSTs on the cable. */
  | { kind: 'rst' }
  /** Segments sent again, by both ends. */
  | { kind: 'retransmits' }
  /** The longest time without progress since the first step, ms. */
  | { kind: 'recover' }
  /** Until the last program had come to its end, ms. */
  | { kind: 'duration' }
  /** Answers: of echo, ping, and connections that came about. */
  | { kind: 'replies' }
  /** The longest of them, ms. */
  | { kind: 'rtt' }
  /** What system calls failed with. */
  | { kind: 'error'; name: string | undefined }
  | { kind: 'counter'; host: Side; name: string }
  /** Packets freed with this reason; undefined: with any. */
  | { kind: 'drop'; host: Side; reason: string | undefined }
  /** How often rules acted. */
  | { kind: 'hits'; rule: string | undefined }
  | { kind: 'restarts'; layer: string }
  /** Sockets of TCP in a state, in the end. */
  | { kind: 'connections'; host: Side; state: string };

export interface Expectation {
  text: string;
  metric: Metric;
  op: Op;
  value: number;
}
