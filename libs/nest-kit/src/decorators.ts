import 'reflect-metadata';
import type { HandOver, Millis, SkBuff } from '@skbus/skb';

const HAND_OVERS = Symbol('skbus:hand-overs');
const INITCALLS = Symbol('skbus:initcalls');

export interface HandOverBinding {
  to: HandOver;
  method: string;
  /** Any instance (dev_queue_xmit.*) or one (tcp_v4_rcv.0). */
  instance: number | '*';
}

/** What an initcall is told: the kernel's name of it, and the parameters of the boot. */
export interface InitcallContext {
  name: string;
  level: string;
  params: Record<string, string>;
  /** The service restarted and this is a repeat. */
  replay: boolean;
  /** A line for dmesg. */
  printk(line: string): void;
}

/** Nothing: it worked. Else the errno and one sentence: what happened and what to do. */
export type InitcallResult = void | { errno: number; message: string };

/** Marks the method that takes over skbs from another layer: `(skb, now) => void`, synchronous. */
export function HandOverTo(to: HandOver, instance: number | '*' = 0) {
  return <F extends (skb: SkBuff, now: Millis) => void>(
    target: object,
    method: string,
    _d: TypedPropertyDescriptor<F>,
  ): void => {
    append<HandOverBinding>(HAND_OVERS, target, { to, method, instance });
  };
}

/** Marks the method that runs an initcall of the boot table; it may be async. */
export function Initcall(...names: string[]) {
  return <F extends (call: InitcallContext) => InitcallResult | Promise<InitcallResult>>(
    target: object,
    method: string,
    _d: TypedPropertyDescriptor<F>,
  ): void => {
    for (const name of names) append<InitcallBinding>(INITCALLS, target, { name, method });
  };
}

export interface InitcallBinding {
  name: string;
  method: string;
}

export const handOversOf = (o: object): HandOverBinding[] =>
  Reflect.getMetadata(HAND_OVERS, Object.getPrototypeOf(o) as object) ?? [];
export const initcallsOf = (o: object): InitcallBinding[] =>
  Reflect.getMetadata(INITCALLS, Object.getPrototypeOf(o) as object) ?? [];

function append<T>(key: symbol, target: object, row: T): void {
  const rows = (Reflect.getMetadata(key, target) as T[] | undefined) ?? [];
  Reflect.defineMetadata(key, [...rows, row], target);
}
