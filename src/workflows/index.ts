export { revokeKeys } from './revoke-keys.ts';
export { rotateKeys } from './rotate-keys.ts';
export { sandboxJob } from './sandbox-job.ts';
export { sweep } from './sweep.ts';
