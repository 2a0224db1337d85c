export { readOrchestratorConfig, type OrchestratorConfig } from './config.ts';
export { Orchestrator, type OrchestratorOptions } from './orchestrator.ts';
export { RunFolder } from './run-folder.ts';
export { Stack } from './stack.ts';
