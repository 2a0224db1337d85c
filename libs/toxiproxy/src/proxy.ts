import type { Stream } from './connection.ts';
import type { Chance } from './stages.ts';
import type { Toxic, ToxicType } from './toxics.ts';

/** A proxy as the API shows it. */
export interface ProxyView {
  name: string;
  listen: string;
  upstream: string;
  enabled: boolean;
  toxics: Toxic[];
}

/** What may be said about a proxy when it is made or changed. */
export interface ProxyChange {
  listen?: string | undefined;
  upstream?: string | undefined;
  enabled?: boolean | undefined;
}

/** What the API works on: a listener between two streams, or a seam of the stack. Errors are ApiErrors. */
export interface Proxy {
  readonly name: string;
  /** Part of the stack: it cannot be removed or led elsewhere. */
  readonly fixed: boolean;
  view(): ProxyView;
  change(c: ProxyChange): Promise<void>;
  /** Throws why this proxy cannot have such a toxic. */
  refuse(type: ToxicType, t: Toxic): void;
  setToxic(t: Toxic): Promise<void>;
  removeToxic(name: string): Promise<void>;
  readonly toxics: ReadonlyMap<string, Toxic>;
  /** Ends it and its connections. */
  stop(): Promise<void>;
}

/** What the proxies need of the world. */
export interface World {
  chance: Chance;
  /** Whether this address is one of the stack's own. */
  isStack(host: string): boolean;
  listen(at: Place, onConnection: (s: Stream) => void): Promise<Listening>;
  /** A connection that is being made; 'connect' or 'error' tells. */
  dial(to: Place): Stream;
}

export interface Place {
  /** Through the stack, or on this machine. */
  stack: boolean;
  host: string;
  port: number;
}

export interface Listening {
  host: string;
  port: number;
  close(): Promise<void>;
}
