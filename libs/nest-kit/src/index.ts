export { monotonicMs } from './clock.ts';
export { ConfigError, readConfig, type ServiceConfig } from './config.ts';
export { HandOverTo, Initcall, type InitcallContext, type InitcallResult } from './decorators.ts';
export { LayerKit, LAYER_KIT, BUS, CONFIG, type LayerMachine } from './layer-kit.ts';
export { layerModule, startLayer, runLayer, type LayerDefinition, type RunningLayer, type Standby } from './run.ts';
export { systemRng } from './rng.ts';
export { sockDiagReply } from './sock-diag.ts';
export { TransportShell, type TransportMachine } from './transport-shell.ts';
export { tuneV8 } from './v8.ts';
