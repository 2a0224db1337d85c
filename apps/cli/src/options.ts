import { UsageError } from './errors.ts';

/** A whole number from the command line; the message names the option. */
export function intOption(name: string, text: string, min: number, max: number): number {
  const n = Number(text);
  if (!/^\d+$/.test(text) || n < min || n > max)
    throw new UsageError(`${name} ${text}: expected a number from ${min} to ${max}`);
  return n;
}

export function secondsOption(name: string, text: string, min: number): number {
  const n = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || n < min)
    throw new UsageError(`${name} ${text}: expected seconds, at least ${min}`);
  return n;
}

export function hostPort(name: string, text: string): { host: string; port: number } {
  const m = /^(?:\[([^\]]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(m?.[3]);
  if (!m || port < 1 || port > 65_535)
    throw new UsageError(`${name} ${text}: expected host:port, such as 127.0.0.1:8080`);
  return { host: (m[1] ?? m[2])!, port };
}
