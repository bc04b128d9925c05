import { describeRemoteProvider } from './sandbox-remote.ts';

describeRemoteProvider('e2b', 'microvm');
