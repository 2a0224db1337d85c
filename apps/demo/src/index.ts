export { BLOCK, BLOCK_BYTES, demoBytes, demoSha256 } from './bytes.ts';
export { Demo, type DemoOptions } from './demo.ts';
