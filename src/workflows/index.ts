export { revokeKeys } from './revoke-keys.ts';
export { rotateKeys } from './rotate-keys.ts';
export { sandboxJob } from './sandbox-job/sandbox-job.ts';
export { sweep } from './sweep.ts';
