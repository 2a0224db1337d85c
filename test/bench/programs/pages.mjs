// The demo's pages on the kernel's sockets: the same program, the other stack.
import { createDemoHttp } from '../../../apps/demo/dist/http.js';

createDemoHttp().listen(80, () => process.stdout.write('ready\n'));
