// usage: SKBUS_SOCK=… node fetch-through.mjs URL   — global fetch() over the stack
import { connectDoor, dispatcherConnect } from '@skbus/net';
import { Agent } from 'undici';

const door = await connectDoor(process.env.SKBUS_SOCK);
const dispatcher = new Agent({ connect: dispatcherConnect(door) });
const res = await fetch(process.argv[2], { dispatcher });
process.stdout.write(await res.text());
await dispatcher.close();
door.close();
