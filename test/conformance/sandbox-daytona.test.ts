import { describeRemoteProvider } from './sandbox-remote.ts';

describeRemoteProvider('daytona', 'container');
