// usage: SKBUS_SOCK=… node fetch-through.mjs URL   — global fetch() over the stack
import { connector } from '@skbus/net';
import { Agent } from 'undici';

const dispatcher = new Agent({ connect: connector() });
const res = await fetch(process.argv[2], { dispatcher });
process.stdout.write(await res.text());
await dispatcher.destroy();
