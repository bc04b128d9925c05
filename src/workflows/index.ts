export { sandboxJob } from './sandbox-job.ts';
