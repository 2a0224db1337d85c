import { runLayer } from '@skbus/nest-kit';
import { definition } from './index.ts';

await runLayer(definition);
