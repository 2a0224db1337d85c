import fc from 'fast-check';

// Property tests repeat themselves: one fixed seed, or the one in FC_SEED (a failure prints the path to replay).
fc.configureGlobal({ seed: Number(process.env['FC_SEED'] ?? 20_261_122) });
