import { join, resolve } from 'node:path';

/** apps/cli/dist → the repository. */
export const root = resolve(import.meta.dirname, '../../..');
export const runRoot = (): string => process.env.SKBUS_RUN_ROOT || join(root, '.run');
export const orchestratorDir = join(root, 'apps/orchestrator/dist');
