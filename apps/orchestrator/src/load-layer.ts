import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Layer } from '@skbus/contracts';
import type { LayerDefinition } from '@skbus/nest-kit';

export class SpawnError extends Error {
  override name = 'SpawnError';
}

/** A layer of the build, for a process that is not its own main(). */
export async function loadLayer(appsDir: string, layer: Layer): Promise<LayerDefinition> {
  const file = join(appsDir, layer, 'dist/index.js');
  requireBuilt(file);
  return ((await import(pathToFileURL(file).href)) as { definition: LayerDefinition }).definition;
}

export const mainOf = (appsDir: string, app: string): string => join(appsDir, app, 'dist/main.js');

export function requireBuilt(file: string): void {
  if (!existsSync(file)) throw new SpawnError(`${file} is missing; build it with "npm run build"`);
}
