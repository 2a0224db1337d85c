import { readOrchestratorConfig } from '../config.ts';
import { Orchestrator } from '../orchestrator.ts';
import { fakeLayers } from './fake-layers.ts';

/** An orchestrator whose layers are fakes in this process, without a kernel, on ports of the system's choosing; not started. */
export function inProcess(runDir: string, env: Record<string, string> = {}, fakes = fakeLayers()): Orchestrator {
  const config = readOrchestratorConfig({
    SKBUS_SPAWN: 'inproc',
    SKBUS_NIC_BACKEND: 'wire',
    SKBUS_API_PORT: '0',
    SKBUS_SOCKS_PORT: '0',
    SKBUS_DEMO: 'off',
    SKBUS_LOG_LEVEL: 'silent',
    SKBUS_NETNS: 'test',
    SKBUS_RUN_DIR: runDir,
    ...env,
  });
  return new Orchestrator({
    config,
    appsDir: '/nowhere',
    version: '0.0.0',
    note: () => {},
    onStack: () => {},
    shutdown: () => {},
    load: fakes.load,
  });
}
