import type { Door } from './door.ts';
import { UnixDoor } from './unix-door.ts';

let shared: UnixDoor | undefined;

/** The program's door to the default stack; opened on first use, and again when it was lost. */
export function defaultDoor(): Door {
  if (shared === undefined || shared.closed) shared = new UnixDoor();
  return shared;
}

/** A door of one's own, e.g. to another stack. */
export async function connectDoor(path?: string): Promise<UnixDoor> {
  return new UnixDoor(path).opened();
}
